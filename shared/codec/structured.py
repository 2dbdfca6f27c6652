"""Structured mode: one event as a JSON object (CloudEvents JSON format 1.0.2)."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64

import msgspec

from shared.codec.attributes import is_json_type, json_pointer
from shared.codec.event import MAX_EXTENSIONS, Context, check_count, compose, faults_of, malformed
from shared.codec.json_text import MAX_DEPTH, UNREADABLE, readable_members, reason, repeated_member, too_deep, unreadable_member
from shared.domain.errors import Fault
from shared.domain.message import Extension, Message, message_id

IDENTITY = ("source", "id")
DATA = ("data", "data_base64")
MAX_MEMBERS = 2 * MAX_EXTENSIONS  # beyond it they are not even looked at

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_INTEGER = re.compile(rb"-?[0-9]{1,10}")


def decode_exactly(text: bytes, context: Context) -> Message:
    """The Message of one event as JSON, whatever it has. Raises Malformed, every fault with its JSON pointer."""
    members = _read(text)
    faults: list[Fault] = []
    data, data_base64 = members.pop("data", None), members.pop("data_base64", None)
    attributes: dict[str, Extension] = {}
    for name, raw in members.items():
        value = _attribute(raw, json_pointer(name), faults)
        if value is not None:
            attributes[name] = value
    body = None
    if data_base64 is not None and data_base64 != b"null":
        if data is not None:
            faults.append(Fault("/data_base64", "stands beside data: an event has one of them"))
        body = _from_base64(data_base64, faults)
    elif data is not None:
        datacontenttype = attributes.setdefault("datacontenttype", "application/json")
        body = _content(data, str(datacontenttype), faults)
    if faults:
        raise malformed(faults)
    return compose(attributes, body, context, json_pointer)


def identity_in(text: bytes, org: str) -> bytes | None:
    """The message id of an event that is refused, where its source and id are as they must be, each there once."""
    try:
        members = {name: bytes(raw) for name, raw in _members(text).items()}
    except UNREADABLE:
        members = readable_members(text, IDENTITY)
    else:
        if _may_repeat(text, members):
            members = readable_members(text, IDENTITY)
    texts: list[str] = []
    for name in IDENTITY:
        value = _attribute(members.get(name, b"null"), "", [])
        if not isinstance(value, str) or faults_of(name, value, ""):
            return None
        texts.append(value)
    return message_id(org, *texts)


def event_id_in(text: bytes) -> str | None:
    """The id of an event that is refused, where it has one that can be read, and once."""
    try:
        members = readable_members(text, ("id",))
    except UNREADABLE:
        return None
    value = _attribute(members.get("id", b"null"), "", [])
    return value if isinstance(value, str) and not faults_of("id", value, "") else None


def _read(text: bytes) -> dict[str, bytes]:
    """The members of an event, raw. Raises Malformed where it is no object, too large a one, or says a thing twice."""
    try:
        raw = _members(text)
    except msgspec.ValidationError:
        raise malformed([Fault("", "is not a JSON object")]) from None
    except UNREADABLE as error:
        name, why = unreadable_member(text) or (None, reason(error, text))
        raise malformed([Fault("" if name is None else json_pointer(name), why)]) from None
    if len(raw) > MAX_MEMBERS:
        check_count([name for name in raw if name not in DATA], json_pointer)
    members = {name: bytes(value) for name, value in raw.items()}
    if _may_repeat(text, members) and (name := repeated_member(text, members)) is not None:
        raise malformed([Fault(json_pointer(name), "is there twice")])
    return members


def _may_repeat(text: bytes, members: dict[str, bytes]) -> bool:
    """False only where no name is there twice: then the quotes of names and values are all the quotes there are."""
    return text.count(b'"') != 2 * len(members) + sum(value.count(b'"') for value in members.values())


def _attribute(raw: bytes, where: str, faults: list[Fault]) -> Extension | None:
    """An attribute's value; None where it is unset, or adds to the faults."""
    first = raw[:1]
    if first == b'"':
        try:
            return _text(raw)
        except UNREADABLE as error:
            faults.append(Fault(where, reason(error, raw, part=True)))
            return None
    if first in (b"t", b"f"):
        return first == b"t"
    if first == b"n":
        return None
    if _INTEGER.fullmatch(raw):
        return int(raw)
    faults.append(Fault(where, "must be a string, a boolean or a 32-bit integer"))
    return None


def _content(raw: bytes, datacontenttype: str, faults: list[Fault]) -> bytes | None:
    """The bytes of a `data` member."""
    if not is_json_type(datacontenttype) and raw[:1] == b'"':
        try:
            return _text(raw).encode()
        except UNREADABLE as error:
            faults.append(Fault("/data", reason(error, raw, part=True)))
            return None
    try:
        raw.isascii() or raw.decode()
    except UnicodeDecodeError as error:
        faults.append(Fault("/data", reason(error, raw, part=True)))
    if too_deep(raw):
        faults.append(Fault("/data", f"is nested deeper than {MAX_DEPTH} levels"))
    return raw


def _from_base64(raw: bytes, faults: list[Fault]) -> bytes | None:
    """The bytes of a `data_base64` member."""
    try:
        text = _text(raw)
        if len(text) % 4:
            raise ValueError("not in groups of four")  # Python 3.11 lets one `=` too many pass
        return a2b_base64(text, strict_mode=True)
    except (ValueError, Base64Error, *UNREADABLE):
        faults.append(Fault("/data_base64", "is not a string of base64 (RFC 4648, with padding)"))
        return None
