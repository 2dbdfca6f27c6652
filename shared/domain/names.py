"""Names: orgs, topics, subjects, NATS patterns, our own extensions, and NATS subjects (contracts.md, "On the backbone")."""

import re
from functools import lru_cache
from urllib.parse import unquote

from shared.domain.errors import Fault, Malformed

ORG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
TAKEN = ("submit-", "rejected-")
NO_SUBJECT = "_"
# Extensions that are Switchboard's to set, on the backbone (id, revision, replay, repair) and between functions (the others).
RESERVED = frozenset(("sbid", "sbrevision", "sbreplay", "sbrepair", "sbproof", "sbprincipal", "sbgrants", "sbshard"))
MAX_NATS_SUBJECT = 1024  # bytes, encoded

_NOT_IN_A_TOKEN = re.compile(r"[\x00-\x20\x7f.*>%]")  # what NATS reads as something else, and the escape itself


def check_org(org: str) -> str:
    """The org itself. Raises Malformed where it isn't `[a-z0-9][a-z0-9-]{0,39}`."""
    if not ORG.fullmatch(org):
        raise Malformed(
            "an org is 1 to 40 of a-z, 0-9 and '-', and starts with a letter or digit", faults=[Fault("/org", "not an org's name")]
        )
    return org


def check_new_org(org: str) -> str:
    """The same for one that is to be made: its stream `sb-<org>` must not have the name of another org's `sb-submit-` or `sb-rejected-`."""
    if org.startswith(TAKEN):
        raise Malformed(
            f"an org's name doesn't begin with {' or '.join(TAKEN)}: streams of other orgs do",
            faults=[Fault("/org", "begins as streams of other orgs do")],
        )
    return check_org(org)


def _escape(token: str) -> str:
    """`token` with every character that NATS does not take in a token, and `%`, as `%XX`."""
    return _NOT_IN_A_TOKEN.sub(lambda found: f"%{ord(found[0]):02X}", token)


@lru_cache(maxsize=65536)
def subject_token(subject: str | None) -> str:
    """A CloudEvents subject as one token of a NATS subject: `_` where there is none, `%5F` for a literal `_`."""
    if subject is None:
        return NO_SUBJECT
    if subject == NO_SUBJECT:
        return "%5F"
    return _escape(subject)


@lru_cache(maxsize=65536)
def topic_tokens(topic: str) -> str:
    """A topic as the tail of a NATS subject: its dots separate tokens; an empty token becomes `%`, which nothing else is written as."""
    return ".".join(_escape(token) or "%" for token in topic.split("."))


@lru_cache(maxsize=65536)
def nats_subject(org: str, subject: str | None, topic: str) -> str:
    """Where a message is published: `sb.<org>.<subject or _>.<topic>`.

    Raises Malformed when it is over 1,024 bytes: NATS closes the connection on a longer one, and with it everybody's publishes.
    """
    text = f"sb.{org}.{subject_token(subject)}.{topic_tokens(topic)}"
    size = len(text.encode())
    if size > MAX_NATS_SUBJECT:
        raise Malformed(
            f"subject and topic take {size} bytes as a NATS subject; {MAX_NATS_SUBJECT} are allowed",
            faults=[Fault("/topic", f"with the subject over {MAX_NATS_SUBJECT} bytes, encoded")],
        )
    return text


def global_stream(org: str) -> str:
    """The stream of a leaf that has what was published for the org on its hubs."""
    return f"sbg-{org}"


def on_leaf(subject: str) -> str:
    """What a subject `sb.<org>.<tail>` of a hub, wildcards too, is on that stream: the same tail below `sbg.<org>.`."""
    return f"sbg.{subject.removeprefix('sb.')}"


def filter_tail(subject: str | None, topic: str | None) -> str:
    """What follows `sb.<org>.` in the filter for a recipient and a topic pattern (`*` one token, `>` last for the rest); None: any."""
    party = "*" if subject in (None, "*", ">") else subject_token(subject)
    pattern = ">" if topic is None else ".".join(token if token in ("*", ">") else topic_tokens(token) for token in topic.split("."))
    return f"{party}.{pattern}"


def parse_nats_subject(text: str) -> tuple[str, str | None, str]:
    """Org, subject and topic of a subject that nats_subject() made. Raises ValueError on any other."""
    prefix, org, subject, topic = text.split(".", 3)
    if prefix != "sb":
        raise ValueError(f"not a message's subject: {text}")
    tokens = ("" if token == "%" else unquote(token) for token in topic.split("."))
    return org, None if subject == NO_SUBJECT else unquote(subject), ".".join(tokens)


def check_pattern(pattern: str) -> str:
    """The pattern itself. Raises Malformed unless it is tokens between dots, `*` for one token, `>` last for one or more."""
    tokens = pattern.split(".")
    if not all(tokens) or ">" in tokens[:-1] or any(len(token) > 1 and ("*" in token or ">" in token) for token in tokens):
        raise Malformed(
            f"{pattern!r} is not a pattern: `*` stands for one token, `>` at the end for one or more",
            faults=[Fault("/pattern", "not a NATS pattern")],
        )
    return pattern


@lru_cache(maxsize=65536)
def matches(pattern: str, topic: str) -> bool:
    """Whether a topic falls under a NATS pattern."""
    if pattern == ">":
        return True
    wanted, tokens = pattern.split("."), topic.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > place
        if place >= len(tokens) or token not in ("*", tokens[place]):
            return False
    return len(tokens) == len(wanted)


def subject_matches(pattern: str, subject: str | None) -> bool:
    """Whether a message's subject falls under a pattern. A subject is one token, dots and all; `*` and `>` take an absent one too."""
    return pattern in ("*", ">") or (subject is not None and pattern == subject)
