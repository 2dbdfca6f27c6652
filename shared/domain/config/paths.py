"""Where documents are, which messages they are for, and which of two is the more specific."""

from typing import NamedTuple

from shared.domain.errors import Fault, Malformed, NotProcessable
from shared.domain.names import check_pattern, matches, subject_matches

ANY_SUBJECT = ("*", ">")
MAX_PATTERN = 512  # characters
_LAYERS = {"global": 0, "org": 1, "topics": 2, "subjects": 3}
_KINDS = {">": 0, "*": 1}  # how much a token says; a literal one says 2


class Path(NamedTuple):
    """`layer` is `global`, `org`, `topics` or `subjects`; the last two have a pattern."""

    layer: str
    pattern: str = ""

    @property
    def text(self) -> str:
        """As contracts.md writes it: `global`, `org`, `topics/<pattern>`, `subjects/<pattern>`."""
        return f"{self.layer}/{self.pattern}" if self.pattern else self.layer


def parse_path(text: str) -> Path:
    """The path that `text` names. Raises NotProcessable where it names none.

    A topic pattern is tokens between dots; a subject is one token, dots and all, so a subject pattern is `*`, `>` or a subject.
    """
    layer, slash, pattern = text.partition("/")
    if layer in ("global", "org") and not slash:
        return Path(layer)
    if layer not in ("topics", "subjects") or not pattern:
        raise _refused("a document is `global`, `org`, `topics/<pattern>` or `subjects/<pattern>`")
    if len(pattern) > MAX_PATTERN:
        raise _refused(f"a pattern has at most {MAX_PATTERN} characters")
    if layer == "topics":
        try:
            check_pattern(pattern)
        except Malformed as error:
            raise _refused(error.detail) from None
    elif pattern not in ANY_SUBJECT and {"*", ">"} & set(pattern.split(".")):
        raise _refused("a subject is one token: its pattern is `*`, `>` or a whole subject")
    return Path(layer, pattern)


def applies(path: Path, topic: str, subject: str | None) -> bool:
    """Whether a document is for the messages of a topic and subject. `subjects/*` is for those without one, too."""
    if path.layer == "topics":
        return matches(path.pattern, topic)
    return path.layer != "subjects" or subject_matches(path.pattern, subject)


def specificity(path: Path) -> tuple[int, tuple[int, ...], str]:
    """A total order of paths, from general to specific: global, org, topics, subjects, and patterns token by token from the left.

    A literal token says more than `*`, and `*` more than `>`; a longer pattern more than its own beginning. So a pattern that takes
    a part of another's topics comes after it. Two that take one topic differ in these kinds, or are the same; the text, last, only
    settles the order of patterns that nothing can match both of.
    """
    if path.layer == "subjects":  # one token, whatever is in it
        return 3, (_KINDS.get(path.pattern, 2),), path.pattern
    tokens = path.pattern.split(".") if path.pattern else []
    return _LAYERS[path.layer], tuple(_KINDS.get(token, 2) for token in tokens), path.pattern


def _refused(detail: str) -> NotProcessable:
    return NotProcessable(detail, rule="document", faults=[Fault("/path", detail)])
