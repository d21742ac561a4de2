"""Sets of HTTP statuses as builders write them: `200-299, 404`."""


def parse_statuses(text: str) -> frozenset[int]:
    """Raises ValueError in words."""
    found: set[int] = set()
    for part in text.replace(";", ",").split(","):
        low, _, high = part.strip().partition("-")
        try:
            first = int(low)
            last = int(high) if high else first
        except ValueError:
            raise ValueError(
                f"{part.strip()!r} should be a status such as 200 or 200-299"
            ) from None
        if not 100 <= first <= last <= 599:
            raise ValueError(f"{part.strip()!r} should lie between 100 and 599")
        found.update(range(first, last + 1))
    return frozenset(found)
