"""The usual message in C beside Python's: the same call with each, and what a call comes to, errors included."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from hypothesis import strategies as st

from functions import ways
from shared.adapters.nats import framed, frames
from shared.adapters.redis import batch
from shared.codec import receipts, usual
from shared.domain.errors import SwitchboardError
from shared.speedups import core
from tests.missing import missing

ODD = (
    "", "a", "a.b", "*", ">", "_", "a b", '"', "\\", "%", "%41", "\x00", "a\x00b", "\t", "\x1f", "\x7f", "\x80", "\xa0", "\xff", "\u0661",
    "caf\u00e9", "\u2028", "\U0001f600", "\ud800", "a\udfff", "\ufffe", "x" * 511, "x" * 512, "x" * 513, "x" * 1100, "\u00e9" * 512,
)  # fmt: skip
TEXTS = st.one_of(st.sampled_from(ODD), st.text(max_size=6))


def compiled() -> ModuleType:
    """The module in C; where it was not built the test is left out, seen, and fails in CI."""
    return missing("shared/speedups/_core, which make setup builds") if core is None else core


@contextmanager
def in_python() -> Iterator[None]:
    """As where nothing was built."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (usual, receipts, framed, frames, batch, ways):
            patch.setattr(module, "core", None)
        yield


def came_to(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives; the error that it raises, as plain data. Of those that say "not usual" it is all one which."""
    try:
        return call(*arguments)
    except usual.UNUSUAL as error:
        if isinstance(error, UnicodeError):
            return type(error)
        return usual.Unusual
    except SwitchboardError as error:
        return type(error), error.detail, error.faults
    except (AttributeError, OverflowError, TypeError, struct.error) as error:
        return type(error)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: to Python 1 is True."""
    return bool(one == other) and repr(one) == repr(other)


def alike(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call comes to, which is the same in C and in Python."""
    made = came_to(call, *arguments)
    with in_python():
        reference = came_to(call, *arguments)
    assert same(made, reference)
    return made
