"""What a Knative broker makes of an answer, as eventing's source has it: pkg/broker/filter/filter_handler.go (writeResponse) and
pkg/kncloudevents/retries.go (SelectiveRetry). `tests/cluster` asks the real one."""

import httpx
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http

RETRIED = (404, 408, 409, 429)  # and everything from 500 up
BAD_GATEWAY = 502


def seen_by_broker(response: httpx.Response) -> tuple[str, CloudEvent | None]:
    """`done`, `retried` or `dropped` (to the dead-letter sink, where there is one), and the event that goes back into the broker.

    An answer with a body that isn't one CloudEvent counts as 502, whatever its status below 300 says.
    """
    status, event = response.status_code, None
    if status < 300 and response.content:
        try:
            event = from_http(dict(response.headers), response.content)
        except (GenericException, ValueError, TypeError):
            status = BAD_GATEWAY
    if status < 300:
        return "done", event
    return ("retried" if status >= 500 or status in RETRIED else "dropped"), None
