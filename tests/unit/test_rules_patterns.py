"""How large a pattern of matches() is taken to be: no smaller than what RE2 makes of it."""

import pytest
import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.domain.rules.patterns import MAX_SIZE, size_of

atoms = st.sampled_from(
    [
        "a",
        "é",
        "😀",
        ".",
        r"\d",
        r"\W",
        r"\pL",
        r"\P{Greek}",
        "[a-z]",
        "[^a-z]",
        r"[\pL_]",
        "[[:alpha:]]",
        r"\Qa{9}\E",
        r"\x{10FFFF}",
        "(?i)",
        "[]a]",
    ]
)
wrappers = st.sampled_from(["({})", "(?i:{})", "(?:{})*", "(?:{}){{{n}}}", "({}){{{n},}}", "(?:{}){{1,{n}}}", "{}{atom}", "{atom}|{}"])
steps = st.lists(st.tuples(wrappers, atoms, st.integers(1, 12)), max_size=8)


def pattern_of(first: str, steps: list[tuple[str, str, int]]) -> str:
    """The first atom, wrapped and added to."""
    for wrapper, atom, n in steps:
        first = wrapper.format(first, atom=atom, n=n)
    return first


@settings(deadline=None)  # RE2 may take a second for one
@given(st.builds(pattern_of, atoms, steps))
def test_a_pattern_compiles_to_three_instructions_a_unit_at_most(pattern: str) -> None:
    assume(size_of(pattern) <= MAX_SIZE)
    options = re2.Options()
    options.max_mem = 1 << 30
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        return
    assert compiled.programsize <= 3 * (2 + size_of(pattern)), (pattern, compiled.programsize, size_of(pattern))


@pytest.mark.parametrize(
    "pattern", ["", "(", ")", "a{", "a{2,1}", "[", "[^", "\\", "\\p", "\\p{", "\\Qab", "(?i", "(?P<", "}{", "*", "{9}", "a{999999999}"]
)
def test_a_text_has_a_size_when_it_is_no_pattern(pattern: str) -> None:
    assert size_of(pattern) >= 0


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$",
        r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^[\pL\pN ._-]+$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$",
    ],
)
def test_a_pattern_is_small_when_people_write_it(pattern: str) -> None:
    assert size_of(pattern) <= MAX_SIZE


@pytest.mark.parametrize(
    "pattern", [r"\pL{1000}", r"(\pL{50}){20}", "((a{30}){30}){30}", ".{1000}{9}", "(?i)((((((((x{9}){9}){9}){9}){9}))))"]
)
def test_a_pattern_is_large_when_a_few_characters_stand_for_much(pattern: str) -> None:
    assert size_of(pattern) > MAX_SIZE
