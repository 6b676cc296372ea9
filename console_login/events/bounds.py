"""A limit on the JSON that is parsed at once."""

# A parsed value takes up to a few hundred bytes, so this many take less than a gigabyte.
# CloudTrail's events have more than twenty characters per value; malicious JSON can have two.
MAX_VALUES = 4_000_000


def is_too_dense(text: str) -> bool:
    """Whether JSON text may have so many values that they take gigabytes of memory."""
    return len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES
