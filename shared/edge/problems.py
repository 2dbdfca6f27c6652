"""Errors as problem+json (RFC 9457), for answers that are not a message's: those are the codec's."""

import msgspec

from shared.codec import encode_problem
from shared.domain.errors import SwitchboardError, Unauthenticated
from shared.edge.asgi import NO_STORE, PROBLEM_JSON, Header, Send, answer


class NotAllowed(SwitchboardError):
    """Use another method: `Allow` says which."""

    status, kind, title = 405, "method-not-allowed", "Method not allowed"


RETRIED = (429, 503)  # answers that say when to come back
_RETRY_AFTER_MS = 1_000


def retry_after(error: SwitchboardError) -> Header:
    """`Retry-After` in whole seconds, at least one (RFC 9110, 10.2.3)."""
    wait = error.retry_after_ms or _RETRY_AFTER_MS
    return (b"retry-after", b"%d" % max(1, -(-wait // 1000)))


def problem_headers(error: SwitchboardError) -> list[Header]:
    """The headers an error's answer has, whatever its body."""
    headers = [PROBLEM_JSON, NO_STORE]
    if error.status in RETRIED:
        headers.append(retry_after(error))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b'Bearer realm="switchboard"'))
    return headers


def problem_document(error: SwitchboardError) -> dict[str, object]:
    """The members of the problem, as the codec writes them: nothing in it but what the error was made to tell."""
    document: dict[str, object] = msgspec.json.decode(encode_problem(error))
    return document


async def answer_problem(send: Send, error: SwitchboardError, more: list[Header] | None = None) -> None:
    """Answer with the error."""
    await answer(send, error.status, encode_problem(error), [*problem_headers(error), *(more or ())])
