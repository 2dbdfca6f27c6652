"""The trace of an HTTP request becomes that of its events (contracts.md: "`traceparent` in and out"; W3C Trace Context)."""

import json

import pytest

from shared.codec import Context, decode_http, trace_of
from shared.codec.binary import decode_binary, decode_binary_exactly, usual_binary
from shared.codec.structured import decode_exactly
from shared.codec.trace import is_traceparent
from shared.codec.usual import decode_envelope, extended_message, messages_of
from shared.domain.message import Message
from tests.unit.doors import BATCH, BINARY, STRUCTURED, Doorway, event

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OWN = "00-11111111111111111111111111111111-2222222222222222-00"
TRACE = {"traceparent": PARENT, "tracestate": "a=b,c=d"}
PLAIN = Context("acme", "http", "tester", 1)
TRACED = Context("acme", "http", "tester", 1, trace=TRACE)


@pytest.mark.parametrize("headers", [BINARY, STRUCTURED, BATCH])
async def test_requests_trace_is_the_events_when_the_event_names_none(headers: dict[str, str]) -> None:
    doorway = Doorway()
    content = {id(BINARY): b"{}", id(STRUCTURED): json.dumps(event()).encode()}.get(id(headers), json.dumps([event()]).encode())
    response = await doorway.request(headers=headers | TRACE, content=content)
    assert response.status_code == 202
    assert doorway.submitted[0].extensions == TRACE


async def test_events_own_trace_stands_when_the_request_has_another() -> None:
    doorway = Doorway()
    await doorway.request(headers={**BINARY, **TRACE, "ce-traceparent": OWN}, content=b"{}")
    await doorway.request(headers=BATCH | TRACE, content=json.dumps([event(traceparent=OWN), event("e2", x=1)]).encode())
    assert [message.extensions for message in doorway.submitted] == [{"traceparent": OWN}, {"traceparent": OWN}, {"x": 1, **TRACE}]


async def test_request_without_a_trace_has_none_when_its_header_is_no_traceparent() -> None:
    doorway = Doorway()
    await doorway.request(headers={**BINARY, "traceparent": "00-a-b-01", "tracestate": "a=b"}, content=b"{}")
    assert doorway.submitted[0].extensions is None


def test_identity_and_digest_are_the_same_when_the_trace_differs() -> None:
    text = json.dumps(event()).encode()
    (first,), (second,) = (decode_http(b"application/cloudevents+json", (), text, context).items for context in (PLAIN, TRACED))
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert (first.id, first.digest) == (second.id, second.digest)


@pytest.mark.parametrize("more", [{}, {"tracestate": "own=1"}, {"traceparent": OWN}])
def test_fast_path_takes_an_event_as_the_exact_one_does_when_the_request_is_traced(more: dict[str, str]) -> None:
    text = json.dumps(event(**more)).encode()
    assert messages_of((decode_envelope(text),), text, TRACED)[0].extensions == {**({} if "traceparent" in more else TRACE), **more}
    extended = json.dumps(event(x="a", **more)).encode()
    assert extended_message(extended, TRACED) == decode_exactly(extended, TRACED)
    headers = [(name.encode(), value.encode()) for name, value in BINARY.items()] + [
        (b"ce-" + k.encode(), v.encode()) for k, v in more.items()
    ]
    assert usual_binary(b"application/json", headers, b"{}", TRACED) == decode_binary_exactly(b"application/json", headers, b"{}", TRACED)
    assert decode_binary(b"application/json", headers, b"{}", TRACED).extensions is not None


@pytest.mark.parametrize("text", [PARENT, PARENT[:-2] + "ff", "01" + PARENT[2:], "cc" + PARENT[2:] + "-what-a-later-version-says"])
def test_traceparent_is_taken_when_it_is_of_the_format(text: str) -> None:
    assert is_traceparent(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "00-1-2-01", PARENT.upper(), PARENT + "-more", PARENT + " ", "ff" + PARENT[2:], "01" + PARENT[2:] + "more", PARENT[:-1],
        f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", "cc" + PARENT[2:] + "-" + "x" * 1000,
    ],
)  # fmt: skip
def test_traceparent_is_none_when_it_is_not_of_the_format(text: str) -> None:
    assert not is_traceparent(text)


def test_state_is_one_when_it_came_in_several_headers() -> None:
    headers = [(b"tracestate", b"a=b"), (b"traceparent", PARENT.encode()), (b"tracestate", b" c=d")]
    assert trace_of(headers) == TRACE


@pytest.mark.parametrize("state", [b"", b"a=\xff", b"a=" + b"b" * 511])
def test_state_is_left_out_when_it_is_empty_or_long_or_no_text(state: bytes) -> None:
    assert trace_of([(b"traceparent", PARENT.encode()), (b"tracestate", state)]) == {"traceparent": PARENT}


def test_request_has_no_trace_when_it_names_two() -> None:
    assert trace_of([(b"traceparent", PARENT.encode()), (b"traceparent", OWN.encode())]) is None
