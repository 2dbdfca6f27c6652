"""Targets of what comes back to us, signed or kept: cursors, cookies, tokens, key sets, proofs, snapshots; and the feed's subscriptions.

Half of what is made is signed with our own key, as another release's would be: what is behind the signature is decoded then, too.
"""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from functions.query import cursor as query_cursor
from functions.websocket import cursor as feed_cursor
from functions.websocket.subscription import from_frame, from_query
from shared import session
from shared.codec import Context
from shared.codec.event import Decoded
from shared.domain.errors import Malformed, SwitchboardError, Unauthenticated
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.sessions import Session, read_session
from shared.domain.snapshot import Snapshot
from shared.domain.token_issuer import Issuer
from shared.edge.vouched import Vouched
from shared.snapshots import encode, unpacked
from shared.tokens.key_set import KeySet, read_key_set
from shared.tokens.verifying import Refused, verify
from tests.fuzz.inputs import spoilt
from tests.tokens import AUDIENCE, ISSUER, claims, jwk, private_key

SECONDS = 1.0  # of CPU, for one input
KEY, FILTERS = b"k" * 32, {"topic": "orders.>"}
IDP = Issuer("idp", ISSUER, (AUDIENCE,), ("ES256",), jwks="{}", org="acme")
KEYS = KeySet([jwk("k1")])
NOW = time.time()

_pack = msgspec.msgpack.encode
_grants = (Grant("publish", ("orders.>",)), Grant("read"))
_shop = Principal("shop", "acme", _grants)
_snapshot = Snapshot(
    7, {b"h" * 32: _shop}, documents={"acme": {"org": b'{"max_bytes":1}'}}, orgs=("acme",), doors={"redis:acme": _shop}, issuers=(IDP,)
)
_position = feed_cursor.Position("e", 3, 1)

PACKED = st.sampled_from(
    (
        _pack(feed_cursor.Cursor((_position, _position), 5)),
        _pack(query_cursor.Cursor(5, b"r" * 16, 3)),
        _pack(Session(b"h" * 32, 2**40, b"i" * 16)),
        encode(_snapshot),
        b"\x92" * 2_000,  # deep
        _pack({"a": [1, "\U0001f600", None, b"\xff", 1e300, 2**63]}),
    )
)
TEXTS = st.sampled_from(
    (
        *(json.dumps(one).encode() for one in ({"alg": "ES256", "typ": "JWT", "kid": "k1"}, claims(exp=2**40), {"keys": [jwk("k1")]})),
        json.dumps({"subscribe": {"topic": "orders.>", "subject": "*", "filter": "true", "cursor": "AAAA"}}).encode(),
        msgspec.json.encode(_grants),
        b'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k1"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}',
    )
)
BYTES = st.one_of(spoilt(PACKED), st.binary(max_size=60))
JSON = st.one_of(spoilt(TEXTS), st.binary(max_size=60))


def within(call: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """What the call gives; None where it refuses, as it may. AssertionError where that takes long."""
    started = time.process_time()
    try:
        return call()
    except refusals:
        return None
    finally:
        assert time.process_time() - started < SECONDS


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _feed_cursor(given: tuple[bytes, bool]) -> None:
    payload, signed = given
    text = _b64((feed_cursor._mac(KEY, payload) if signed else b"m" * 16) + payload)
    found = within(lambda: feed_cursor.unseal(text, [KEY]), Malformed)
    assert found is None or (signed and feed_cursor.unseal(feed_cursor.seal(found, [KEY]), [KEY]) == found)


def _query_cursor(given: tuple[bytes, bool]) -> None:
    payload, signed = given
    text = _b64((query_cursor._mac(KEY, "acme", FILTERS, payload) if signed else b"m" * 32) + payload)
    found = within(lambda: query_cursor.unseal(text, "acme", FILTERS, [KEY]), Malformed)
    assert found is None or signed
    assert within(lambda: query_cursor.unseal(text, "globex", FILTERS, [KEY]), Malformed) is None


def _session(given: tuple[bytes, bool]) -> None:
    payload, signed = given
    found = within(lambda: session.unseal(_b64((session._mac(KEY, payload) if signed else b"m" * 32) + payload), [KEY]), Unauthenticated)
    assert found is None or signed
    within(lambda: read_session(payload, NOW), Malformed)
    if found is not None:
        within(lambda: session.principal_of(found, _snapshot), Unauthenticated)


def _snapshot_of(packed: bytes) -> None:
    found = within(lambda: unpacked(packed, "in a test"))
    if found is not None:
        assert unpacked(encode(found), "in a test") == found


def _token(given: tuple[bytes, bytes, bytes, bool]) -> None:
    header, payload, signature, signed = given
    unsigned = f"{_b64(header)}.{_b64(payload)}"
    if signed:
        import jwt

        signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(unsigned.encode(), private_key("k1"))
    found = within(lambda: verify(f"{unsigned}.{_b64(signature)}", (IDP,), lambda issuer, kid: KEYS, NOW), Refused)
    assert found is None or (signed and found.claims["iss"] == ISSUER and found.until > NOW)


def _key_set(text: bytes) -> None:
    found = within(lambda: read_key_set(text), Malformed)
    assert found is None or len(found) > 0


class _Snapshots:
    current, ready, lost = _snapshot, True, False


def _vouched(given: tuple[bytes, bytes, bytes]) -> None:
    """Nobody without the key is believed, whatever the three headers are."""
    principal, grants, proof = given
    headers = [(b"ce-sbprincipal", principal), (b"ce-sbproof", proof), *([(b"ce-sbgrants", grants)] if grants else [])]
    vouched = Vouched(_Snapshots(), lambda: [KEY])
    found = within(lambda: vouched.principal(headers), Unauthenticated)
    assert found is None or found.org == "acme"
    with pytest.raises(Unauthenticated):
        vouched.check(headers, Decoded(True, [_message]))


def _subscription(text: bytes) -> None:
    within(lambda: from_frame(text.decode(errors="surrogateescape")), SwitchboardError)
    within(lambda: from_query([("topic", text.decode("latin-1"))]), SwitchboardError)
    within(lambda: from_query([(text.decode("latin-1"), "x")]), SwitchboardError)


_message = Message(
    id=b"i" * 16,
    digest=b"d" * 32,
    org="acme",
    topic="t",
    subject=None,
    source="/s",
    event_id="e",
    type="t",
    time=None,
    datacontenttype=None,
    dataschema=None,
    extensions=None,
    body=None,
    received_at=1,
    door="http",
    principal="shop",
    revision=Context("acme", "http", "shop", 1, 1).revision,
)
_sealed = st.tuples(BYTES, st.booleans())
_said = st.sampled_from((b"acme/shop", b"acme/idp/shop", b"acme/", b"/", b"globex/x", b"acme/redis:acme"))
SIGNED: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "feed-cursor": (_sealed, _feed_cursor),
    "query-cursor": (_sealed, _query_cursor),
    "session": (_sealed, _session),
    "snapshot": (BYTES, _snapshot_of),
    "token": (st.tuples(JSON, JSON, st.binary(max_size=70), st.booleans()), _token),
    "key-set": (JSON, _key_set),
    "vouched": (st.tuples(st.one_of(_said, st.binary(max_size=40)), JSON, st.one_of(spoilt(_said), st.binary(max_size=90))), _vouched),
    "feed-subscription": (JSON, _subscription),
}
