"""Time limits as batch systems write them."""

from __future__ import annotations

import re

__all__ = ["seconds_of"]


def seconds_of(limit: str) -> int:
    """Seconds of a limit such as `12:00:00` or `1-12:00:00`; 0 for no limit, an empty text.

    Raises:
        ValueError: If it is none.

    Example:
        >>> seconds_of("1-02:00:30"), seconds_of("")
        (93630, 0)
    """
    if not limit:
        return 0
    found = re.fullmatch(r"(?:(\d+)-)?(\d{1,3}):(\d\d):(\d\d)", limit)
    if not found:
        raise ValueError(f"time {limit!r}: expected [days-]hours:minutes:seconds, such as 12:00:00")
    days, hours, minutes, seconds = (int(x or 0) for x in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
