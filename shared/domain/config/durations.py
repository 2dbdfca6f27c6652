"""Durations as config writes them: a whole number and one unit, `90d`, `24h`, `15m`, `30s`."""

import re
from functools import lru_cache

_DURATION = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@lru_cache(maxsize=1024)
def seconds(text: str) -> int:
    """How many seconds `text` is. Raises ValueError for what isn't a duration."""
    found = _DURATION.fullmatch(text)
    if found is None or not text.isascii():
        raise ValueError("a duration is a whole number and a unit: 90d, 24h, 15m or 30s")
    return int(found[1]) * _SECONDS[found[2]]
