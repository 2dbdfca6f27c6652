"""Where the sender of an event wants its receipt: a place below its own org's prefix, and nowhere else (contracts.md, "The four doors")."""

from shared.domain.message import Message

REPLYTO = "replyto"  # the extension that says it
MAX_LIST, MAX_SUBJECT = 200, 512  # characters


def replyto_of(message: Message) -> str | None:
    """The place that the event itself names; None where it names none, or one that isn't its org's."""
    place = None if message.extensions is None else message.extensions.get(REPLYTO)
    if not isinstance(place, str):
        return None
    return place if is_receipts_list(place, message.org) or is_inbox(place, message.org) else None


def is_receipts_list(place: str, org: str) -> bool:
    """Whether it is a list of receipts in the org's Redis: `sb:receipts:{<org>}:` and a name of printable ASCII."""
    start = f"sb:receipts:{{{org}}}:"
    name = place.removeprefix(start)
    return place.startswith(start) and 0 < len(name) <= MAX_LIST and name.isascii() and name.isprintable() and " " not in name


def is_inbox(place: str | None, org: str) -> bool:
    """Whether it is a NATS subject below the org's own inbox prefix, `_INBOX.<org>.`."""
    if place is None or len(place) > MAX_SUBJECT or not place.isascii() or not place.isprintable():
        return False
    tokens = place.split(".")
    return len(tokens) > 2 and tokens[:2] == ["_INBOX", org] and all(tokens) and not any(mark in place for mark in " *>")
