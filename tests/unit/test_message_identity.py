"""Identity and digest (log.md), against vectors computed with sha256sum and against the definition written out."""

import hashlib
import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.message import digest_start, digested, identified, identity_start, message_digest, message_id, uuid_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_message_id_is_the_known_one_when_the_identity_is() -> None:
    # printf '\0\0\0\4acme\0\0\0\5/shop\0\0\0\2e1' | sha256sum, with the version and variant bits put in by hand
    assert uuid_text(message_id("acme", "/shop", "e1")) == "69ac9742-9641-85e3-8620-8c6f738e9e15"
    # printf '\0\0\0\1a\0\0\0\13urn:\303\251:\360\237\230\200\0\0\0\1 ' | sha256sum
    assert uuid_text(message_id("a", "urn:\u00e9:\U0001f600", " ")) == "32b9ada1-b9c5-82cc-9dbe-5a7690fc0d8e"


def test_digest_is_the_known_one_when_the_message_is() -> None:
    # printf '\0\0\0\5order\377\377\377\377\0\0\0\5order\0\0\0\20application/json\377\377\377\377\0\0\0\2{}' | sha256sum
    assert (
        message_digest("order", None, "order", "application/json", None, b"{}").hex()
        == "3595997268b4b667394f9e09b4d750c80bd87cf34cf8650f374f7460d55e3413"
    )
    # printf '\0\0\0\1t\0\0\0\1s\0\0\0\1o\377\377\377\377\0\0\0\5urn:a\377\377\377\377' | sha256sum
    assert message_digest("t", "s", "o", None, "urn:a", None).hex() == "9dd36558ce4eca1b9b89ca49b7cd17e04508a0d62293521ce1bd01b65056b784"


def prefixed(value: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value


@given(TEXT, TEXT, TEXT)
def test_message_id_is_a_version_8_uuid_of_the_identity_when_it_is_any(org: str, source: str, event_id: str) -> None:
    hashed = bytearray(hashlib.sha256(b"".join(prefixed(text.encode()) for text in (org, source, event_id))).digest()[:16])
    hashed[6] = hashed[6] & 0x0F | 0x80
    hashed[8] = hashed[8] & 0x3F | 0x80
    id = message_id(org, source, event_id)
    assert id == bytes(hashed)
    assert uuid_text(id) == str(uuid.UUID(bytes=id))
    assert (uuid.UUID(bytes=id).version, uuid.UUID(bytes=id).variant) == (8, uuid.RFC_4122)


@given(TEXT, st.none() | TEXT, TEXT, st.none() | TEXT, st.none() | TEXT, st.none() | st.binary(max_size=100))
def test_digest_covers_every_part_when_it_is_any(
    type: str, subject: str | None, topic: str, datacontenttype: str | None, dataschema: str | None, body: bytes | None
) -> None:
    texts = (None if text is None else text.encode() for text in (type, subject, topic, datacontenttype, dataschema))
    expected = hashlib.sha256(b"".join(map(prefixed, (*texts, body)))).digest()
    assert message_digest(type, subject, topic, datacontenttype, dataschema, body) == expected


def test_start_is_as_it_was_when_it_has_been_used() -> None:
    identity, digest = identity_start("acme", "/shop"), hashlib.sha256(digest_start("order", None, "order", None, None))
    assert [identified(identity, "e1") for _ in range(2)] == [message_id("acme", "/shop", "e1")] * 2
    assert [digested(digest, b"{}") for _ in range(2)] == [message_digest("order", None, "order", None, None, b"{}")] * 2
