"""What a rule asks of a message's place alone: its org, topic and subject, which many messages have in common.

`message.topic == "pay" && data.amount > 1000` is false wherever the topic is another, whatever else: in CEL a false side of `&&` outweighs
an error of the other. So that much of it is asked once a place, and what is false there needn't be asked of any message.
"""

import re
from functools import lru_cache

from shared.domain.rules.cel import Program, compile_rule

PLACE = frozenset(("message.org", "message.topic", "message.subject"))

_ODD = re.compile(r"""\\|//|'''|\"\"\"|\?""")  # escapes, comments, long texts, conditions: it isn't taken apart
_TOKEN = re.compile(r""""[^"\n]*"|'[^'\n]*'|&&|\|\||[()\[\]{}"']""")


@lru_cache(maxsize=2048)
def place_of(text: str) -> Program | None:
    """What a rule that compiles asks of the place alone, `&&` with the rest of it: where that is false, so is the rule. None: nothing."""
    asked = list(filter(_asks_for_place, conjuncts(text)))
    if not asked:
        return None
    try:
        return compile_rule(" && ".join(f"({part}\n)" for part in asked))  # a line end after each: a rule may end in a comment
    except ValueError:  # the brackets make it longer, or deeper, than a rule may be
        return None


def _asks_for_place(part: str) -> bool:
    try:
        shape = compile_rule(part).shape
    except ValueError:  # `data.urgent && ...`: by itself it isn't known to be true or false
        return False
    return bool(shape.names) and PLACE.issuperset(shape.names) and not shape.loops  # a loop may take seconds, and no budget ends it


def conjuncts(text: str) -> list[str]:
    """The parts of a rule that compiles between the `&&` at its top; all of it where that isn't plain to see."""
    if _ODD.search(text):
        return [text]
    parts: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found in ("(", "[", "{"):
            depth += 1
        elif found in (")", "]", "}"):
            depth -= 1
        elif found in ("'", '"') or (found == "||" and depth == 0):  # a text that doesn't end on its line; less binding than &&
            return [text]
        elif found == "&&" and depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]
