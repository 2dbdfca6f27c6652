"""NATS patterns and read grants as SQL conditions: the same answers as shared.domain.names.matches gives."""

import re
from collections.abc import Sequence

import msgspec

from shared.domain.principal import Grant

ANY_SUBJECT = ("*", ">")


def is_exact(pattern: str) -> bool:
    """Whether a pattern has no wildcard: then it is the topic."""
    tokens = pattern.split(".")
    return "*" not in tokens and tokens[-1] != ">"


def topic_regex(patterns: Sequence[str]) -> str:
    """An anchored regular expression (PostgreSQL's, "advanced") for the topics under any of the patterns.

    One pattern alone keeps its constant beginning in front, which an index can use.
    """
    if len(patterns) == 1:
        return f"^{_tokens(patterns[0])}$"
    return f"^(?:{'|'.join(map(_tokens, patterns))})$"


def readable(grants: Sequence[Grant]) -> str | None:
    """What search.sql is given of read grants, as JSON; None where they allow everything, and `[]` where nothing."""
    granted: list[dict[str, object]] = []
    for grant in grants:
        if grant.action not in ("read", "admin") or not grant.topics or not grant.subjects:
            continue
        all_subjects = any(subject in ANY_SUBJECT for subject in grant.subjects)
        if all_subjects and ">" in grant.topics:
            return None
        granted.append({"topics": topic_regex(grant.topics), "subjects": None if all_subjects else list(grant.subjects)})
    return msgspec.json.encode(granted).decode()


def _tokens(pattern: str) -> str:
    tokens = pattern.split(".")
    return r"\.".join(".*" if token == ">" else "[^.]*" if token == "*" else _literal(token) for token in tokens)


def _literal(token: str) -> str:
    """ASCII punctuation escaped; a backslash before a letter or digit would mean something else."""
    return re.sub(r"[^\w\s]", lambda found: "\\" + found[0] if found[0].isascii() else found[0], token)
