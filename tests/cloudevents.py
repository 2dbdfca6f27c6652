"""Hypothesis strategies for valid CloudEvents, and one of them written down in each mode by hand (not by the code under test)."""

import base64
import json
from typing import Any, NamedTuple
from urllib.parse import quote

from hypothesis import strategies as st

# CloudEvents' String: no control characters, surrogates or noncharacters.
_CHARACTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn"))
TEXT = st.text(_CHARACTERS, min_size=1, max_size=20)
ASCII = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='%"'), min_size=1, max_size=20)
_PATH = st.text("abcXYZ019-._~!$&'()*+,;=:@/", min_size=1, max_size=20)
URI_REFERENCES = st.one_of(
    _PATH, _PATH.map("https://host.example:80/{}?q=1#f".format), st.sampled_from(("urn:a:b", "#f", "?q", "/%C3%A9%20%25"))
)
MEDIA_TYPES = st.sampled_from(
    (
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.a+json",
        "text/plain",
        'text/plain; charset="utf-8"',
        "image/png",
    )
)
_TIMES = st.builds(
    "{}{}{}".format,
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.sampled_from(("", ".5", ".123456", ".123456789")),
    st.sampled_from(("Z", "z", "+00:00", "-11:30")),
)
NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "topic", "data")
)
VALUES = st.one_of(TEXT, st.booleans(), st.integers(-(2**31), 2**31 - 1))
_ANY = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        _ANY,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_ANY, inner, max_size=3)),
    max_leaves=8,
)


class Event(NamedTuple):
    """A CloudEvent: attributes with their values, and data. `data` is JSON (any value), or bytes, or () for none."""

    attributes: dict[str, Any]
    data: Any

    @property
    def json_data(self) -> bool:
        return not isinstance(self.data, bytes | tuple)

    def structured(self, **spelling: Any) -> bytes:
        """As a JSON object; `spelling` goes to json.dumps."""
        members = dict(self.attributes)
        if isinstance(self.data, bytes):
            members["data_base64"] = base64.b64encode(self.data).decode()
        elif self.json_data:
            members["data"] = self.data
        return json.dumps(members, **spelling).encode()

    def binary(self) -> tuple[bytes | None, list[tuple[bytes, bytes]], bytes]:
        """Content-Type, headers and body; values percent-encoded by the HTTP binding (everything that may be, is)."""
        attributes = dict(self.attributes)
        content_type = attributes.pop("datacontenttype", None)
        headers = [(f"ce-{name}".encode(), quote(canonical(value), safe="").encode()) for name, value in attributes.items()]
        body = self.data if isinstance(self.data, bytes) else b"" if self.data == () else json.dumps(self.data).encode()
        return None if content_type is None else content_type.encode(), headers, body


def canonical(value: Any) -> str:
    """A value's canonical text (CloudEvents, "Type System")."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@st.composite
def events(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXT) -> Event:
    """Any valid CloudEvent whose texts are of a kind."""
    attributes: dict[str, Any] = {"specversion": "1.0", "id": draw(texts), "source": draw(URI_REFERENCES), "type": draw(texts)}
    optional = {
        "subject": texts,
        "time": _TIMES,
        "dataschema": st.just("https://host.example/schema#a"),
        "topic": texts,
        "traceparent": texts,
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            attributes[name] = draw(values)
    attributes |= draw(st.dictionaries(NAMES, st.one_of(texts, VALUES) if texts is TEXT else texts, max_size=3))
    data: Any = draw(st.one_of(st.just(()), st.binary(min_size=1), JSON))
    kind = draw(st.one_of(st.none(), MEDIA_TYPES))
    if kind is not None and (isinstance(data, bytes | tuple) or "json" in kind.lower()):
        attributes["datacontenttype"] = kind
    order = draw(st.permutations(list(attributes)))
    return Event({name: attributes[name] for name in order}, data)
