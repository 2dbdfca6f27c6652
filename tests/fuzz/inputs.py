"""Input that is nearly right: events of the corpus and made-up ones, cut, doubled, mixed and spoilt; and some that is anything."""

from hypothesis import strategies as st

from tests.cloudevents import events
from tests.corpus import BATCHES, SINGLE, STRUCTURED

LONGEST = 4_096  # bytes of what is spoilt: where long input hurts, the corpus has it
HEADERS = st.sampled_from(
    (b"ce-id", b"ce-source", b"ce-type", b"ce-specversion", b"ce-time", b"ce-topic", b"ce-subject", b"ce-sbid", b"ce-x", b"ce-",
     b"content-type", b"ce-datacontenttype", b"CE-ID", b"traceparent", b"ce-replyto", b"authorization", b"x")
)  # fmt: skip
TYPES = st.sampled_from(
    (b"application/cloudevents+json", b"application/cloudevents-batch+json", b"application/json", b"text/plain; charset=utf-8",
     b"application/cloudevents+json; charset=utf-16", b"application/cloudevents", b"a/b;c", b"")
)  # fmt: skip
PIECES = st.sampled_from(
    (b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"null", b"NaN", b"1e400",
     b"-0", b"9" * 400, b'"id":"x",', b'"data_base64":"AA="', b"[" * 600, b" ", b"\xef\xbb\xbf", b"\r\n", b"%", b"%zz", b"%ED%A0%80")
)  # fmt: skip

_events = st.one_of(
    events().map(lambda event: event.structured()),
    events().map(lambda event: event.structured(ensure_ascii=False)),
    st.sampled_from(sorted({case.body for case in SINGLE if case.content_type == STRUCTURED and len(case.body) <= LONGEST})),
)
_batches = st.one_of(
    st.lists(_events, max_size=4).map(lambda items: b"[" + b",".join(items) + b"]"),
    st.sampled_from(sorted({case.body for case in BATCHES if len(case.body) <= LONGEST})),
)


@st.composite
def spoilt(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """One of these, with up to three places cut, doubled, or replaced."""
    text = draw(whole)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + draw(st.one_of(PIECES, st.binary(max_size=6), st.just(text[start:end] * 2), whole)) + text[end:]
    return text


EVENTS = st.one_of(spoilt(_events), st.binary(max_size=60))
BODIES = st.one_of(spoilt(_batches), EVENTS)
VALUES = st.one_of(
    st.sampled_from((b"1.0", b"/a", b"order", b"2024-01-01T00:00:00Z", b"caf%C3%A9", b'"q"')), PIECES, st.binary(max_size=30)
)
PAIRS = st.one_of(
    st.lists(st.tuples(HEADERS, st.one_of(VALUES, TYPES)), max_size=10),
    st.builds(
        lambda event, more: [*event.binary()[1], *more], events(), st.lists(st.tuples(HEADERS, st.one_of(VALUES, TYPES)), max_size=2)
    ),
)
