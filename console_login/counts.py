"""Counts with their nouns, for what commands print."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return `1 object` or `2,000 objects`; many: where an s alone does not make the plural."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
