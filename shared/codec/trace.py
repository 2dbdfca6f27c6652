"""The trace a request is part of (W3C Trace Context, Recommendation 23 November 2021): which values are one."""

import re
from collections.abc import Sequence

from shared.domain.message import Extension

MAX_STATE = 512  # characters of a tracestate: as many as everybody should pass on (3.3.1.5)

_IDS = r"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_is_parent = re.compile(rf"00-{_IDS}|(?!00|ff)[0-9a-f]{{2}}-{_IDS}(?:-[!-~]*+)?+").fullmatch
_is_state = re.compile(r"[ -~]++").fullmatch


def is_traceparent(text: str) -> bool:
    """Whether it is a `traceparent` (3.2): of version 00, or begins as one does and says more in a later version."""
    return len(text) <= MAX_STATE and _is_parent(text) is not None


def trace_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, Extension] | None:
    """What a request's headers say of its trace, as the extensions that CloudEvents has for it; names are in lower case.

    None where there is no `traceparent`, more than one, or one that is none (3.2); then `tracestate` means nothing either (3.3).
    """
    parents = [value for name, value in headers if name == b"traceparent"]
    if len(parents) != 1 or not is_traceparent(parent := parents[0].decode("latin-1").strip(" \t")):
        return None
    trace: dict[str, Extension] = {"traceparent": parent}
    state = b",".join(value.strip(b" \t") for name, value in headers if name == b"tracestate").decode("latin-1")
    if len(state) <= MAX_STATE and _is_state(state):
        trace["tracestate"] = state
    return trace
