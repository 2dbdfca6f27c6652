"""Record ids: UUID version 7 (RFC 9562, section 5.7), sortable by the millisecond they were made in."""

import os
import time


def uuid7() -> bytes:
    """16 bytes: 48 bits of Unix milliseconds, version, and 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | (0x7 << 76) | ((random >> 68) << 64) | (0b10 << 62) | (random & ((1 << 62) - 1))
    return value.to_bytes(16, "big")
