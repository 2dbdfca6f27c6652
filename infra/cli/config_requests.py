"""What requests about config have: the path of a document, the org that is meant, why, and what guards a write."""

from urllib.parse import quote

from shared.domain.errors import Malformed

Headers = dict[bytes, bytes]
PATTERNED = ("topics", "subjects")


def url_of(path: str) -> str:
    """Where a document is. Raises Malformed for what names none."""
    layer, slash, pattern = path.partition("/")
    if layer not in ("global", "org", *PATTERNED) or bool(slash) != (layer in PATTERNED) or bool(pattern) != bool(slash):
        raise Malformed(f"{path} is none of: global, org, topics/<pattern>, subjects/<pattern>")
    return f"/v1/config/{layer}" + (f"/{quote(pattern, safe='')}" if pattern else "")


def scope(org: str | None) -> dict[str, str]:
    """The parameters that say which org is meant."""
    return {} if org is None else {"org": org}


def because(reason: str) -> Headers:
    """The header that says why."""
    return {b"switchboard-reason": reason.encode()}


def only_if(etag: str | None) -> Headers:
    """The header that guards a write: the ETag with or without its quotes; None: no guard."""
    return {} if etag is None else {b"if-match": f'"{etag.strip(chr(34))}"'.encode()}


ONLY_NEW: Headers = {b"if-none-match": b"*"}  # where there is nothing yet
