"""How much JSON is parsed at once."""

# Parsed, a value takes up to some hundred bytes: together less than a gigabyte. In CloudTrail's
# events there is one for more than twenty characters; in what is meant to harm, one for two.
MAX_VALUES = 4_000_000


def is_too_dense(text: str) -> bool:
    """Whether JSON text may hold so many values that they take gigabytes of memory."""
    return len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES
