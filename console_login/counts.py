"""Counts with their nouns, for the output of commands."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return `1 object` or `2,000 objects`. many: the plural, unless it only adds an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
