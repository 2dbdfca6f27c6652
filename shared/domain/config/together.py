"""How many rules one message may be judged by: all documents it may fall under, counted together.

A document has bounds of its own, but a topic may fall under hundreds of patterns; and what a message is judged by is compiled in the
process that has it in hand, where all others' messages wait meanwhile (60,000 policies: a minute).
"""

from collections.abc import Mapping

import msgspec

from shared.domain.config.paths import ANY_SUBJECT, parse_path
from shared.domain.errors import Fault, NotProcessable
from shared.domain.rules.topics import Topics

MOST = {"policies": 256, "rate_limits": 128}  # of an org; `global` may have as many as one document besides


class _Counted(msgspec.Struct):
    """The named lists of a document; what is in them doesn't matter here."""

    policies: tuple[msgspec.Raw, ...] = ()
    rate_limits: tuple[msgspec.Raw, ...] = ()


_decode = msgspec.json.Decoder(_Counted).decode


def has_rules(text: bytes) -> bool:
    """Whether a document's text may have named rules in it: where not, writing it can't make them too many."""
    return any(f'"{name}"'.encode() in text for name in MOST)


def check_together(documents: Mapping[str, bytes]) -> None:
    """Raise NotProcessable, naming the list, where a message of an org with these documents, texts by path, could be judged by too many."""
    counted = {parse_path(path): _counted(text) for path, text in documents.items()}
    topics = Topics(path.pattern for path in counted if path.layer == "topics")
    for name, most in MOST.items():
        weights = {path: len(getattr(one, name)) for path, one in counted.items()}
        found = sum(count for path, count in weights.items() if path.layer == "org")
        found += topics.heaviest({path.pattern: count for path, count in weights.items() if path.layer == "topics"})
        found += _of_subjects({path.pattern: count for path, count in weights.items() if path.layer == "subjects"})
        if found > most:
            detail = f"with the org's other documents a message could be judged by {found} of them; {most} are allowed"
            raise NotProcessable(f"{name}: {detail}", rule="document", faults=[Fault(f"/{name}", detail)])


def _counted(text: bytes) -> _Counted:
    """What a document's text has; nothing where it is none of ours: no message is judged by such a one."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return _Counted()


def _of_subjects(weights: dict[str, int]) -> int:
    """A subject falls under the wildcards, and under its own name."""
    wide = sum(weights.pop(pattern, 0) for pattern in ANY_SUBJECT)
    return wide + max(weights.values(), default=0)
