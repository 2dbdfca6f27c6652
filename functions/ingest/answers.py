"""What the events path answers: a receipt, a problem, or one of them for each event of an array."""

from collections.abc import Sequence

from shared.codec import encode_each, encode_problem, encode_receipt, encode_receipts
from shared.domain.in_a_row import ReceiptsInARow
from shared.domain.verdict import Outcome, Receipt, Refusal
from shared.edge.asgi import JSON, Header, Send
from shared.edge.problems import RETRIED, problem_headers, retry_after

Answer = tuple[int, bytes, list[Header]]  # status, body, headers but for `content-length`


async def send_whole(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    """Answer, as ASGI."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def traced(headers: list[Header], fields: dict[bytes, bytes]) -> list[Header]:
    """The headers of an answer, with the request's `traceparent`."""
    traceparent = fields.get(b"traceparent")
    if traceparent is not None:
        headers.append((b"traceparent", traceparent))
    return headers


def bodies_of(told: Sequence[Outcome]) -> list[bytes] | None:
    """Those of the answers to messages that one stream stored in a row. None for others, and where one can't be written."""
    try:
        return encode_each(told) if isinstance(told, ReceiptsInARow) else None
    except Exception:  # one's own: each is written by itself then
        return None


def one_answer(outcome: Outcome) -> Answer:
    """The answer to one event."""
    if type(outcome) is Receipt:
        return 202, encode_receipt(outcome), [JSON]
    assert isinstance(outcome, Refusal)
    return outcome.error.status, encode_problem(outcome), problem_headers(outcome.error)


def batch_answer(outcomes: Sequence[Outcome]) -> Answer:
    """202 when all were accepted, 429 or 503 when that is what all were told, else 207."""
    all_stored = isinstance(outcomes, ReceiptsInARow)
    refused = [] if all_stored else [outcome.error for outcome in outcomes if isinstance(outcome, Refusal)]
    headers = [JSON]
    status = 207 if refused else 202
    if refused and len(refused) == len(outcomes) and len({error.status for error in refused}) == 1 and refused[0].status in RETRIED:
        status = refused[0].status
        headers.append(retry_after(max(refused, key=lambda error: error.retry_after_ms or 0)))
    return status, encode_receipts(outcomes), headers
