"""What an attribute may be: names, characters and types, by CloudEvents 1.0.2 (section 3) and the RFCs it refers to."""

import re
from calendar import monthrange
from urllib.parse import quote, unquote_to_bytes

from shared.domain.message import Extension

MAX_SHOWN = 64  # characters of the sender's own text that an error repeats
INTEGERS = range(-(2**31), 2**31)  # CloudEvents' Integer is a signed 32-bit one

# Control characters, surrogates and noncharacters ("Type System", String).
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_NAME = re.compile(r"[a-z0-9]++")
# RFC 3986 by its characters: a colon in a relative reference's first segment ("10.0.0.1:80") is let pass.
_URI_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})*+(?:#(?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})*+)?+"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]++"  # RFC 9110's word
_MEDIA_TYPE = re.compile(rf'{_TOKEN}/({_TOKEN})(?:[ \t]*+;[ \t]*+(?:{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*+"))?+)*+[ \t]*+')
_TIME = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.[0-9]++)?+"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
# What a header value is not percent-encoded for: printable ASCII but space, `"` and `%` (HTTP binding, 3.1.3.2).
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def shown(text: str) -> str:
    """The sender's own text, cut to what an error may repeat, and always text that can be sent: the SDK lets lone surrogates in."""
    text = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return text.encode(errors="replace").decode()


def json_pointer(name: str) -> str:
    """Where a member of a structured event is (RFC 6901)."""
    return "/" + shown(name).replace("~", "~0").replace("/", "~1")


def header_name(name: str) -> str:
    """Where an attribute of a binary event is."""
    return "content-type" if name == "datacontenttype" else f"ce-{shown(name)}"


def header_value(value: Extension) -> str:
    """An attribute's value as a header carries it: canonical text, percent-encoded (HTTP binding, 3.1.3.2)."""
    if value is True or value is False:
        return "true" if value else "false"
    return quote(str(value), safe=_PLAIN)


def header_text(value: bytes) -> str:
    """A header's value as the attribute's: double quotes undone, then one round of percent-decoding (HTTP binding, 3.1.3.2).

    A `%` that begins no escape stands for itself, and bytes beyond ASCII are read as UTF-8: senders exist that encode neither.
    Raises UnicodeDecodeError.
    """
    value = value.strip(b" \t")
    if quoted := _QUOTED.fullmatch(value):
        value = _QUOTED_PAIR.sub(rb"\1", quoted[1])
    return unquote_to_bytes(value).decode()


def header_uri(value: bytes) -> str:
    """The same for an attribute that is a URI. Where decoding leaves none, and there was one before, its sender didn't encode it.

    The Python SDK sends `/a%20b` as it is, and means it so: `/a b` is no URI-reference. Raises UnicodeDecodeError.
    """
    text = header_text(value)
    return text if is_uri_reference(text) or not is_uri_reference(as_sent := value.strip(b" \t").decode("latin-1")) else as_sent


def is_name(name: str) -> bool:
    """Whether it may name an attribute: lower-case letters and digits. `data` is no attribute."""
    return _NAME.fullmatch(name) is not None and name != "data"


def forbidden_character(text: str) -> str | None:
    """The first character that no attribute may have, as `U+XXXX`; None where there is none."""
    if text.isascii() and text.isprintable():
        return None
    found = _FORBIDDEN.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def is_uri_reference(text: str) -> bool:
    return _URI_REFERENCE.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """Whether it is a URI: one with a scheme. A fragment is let pass, since schemas are often named by one."""
    return _SCHEME.match(text) is not None and is_uri_reference(text)


def is_media_type(text: str) -> bool:
    """Whether it is `type/subtype` with parameters (RFC 2045, 5.1)."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def is_json_type(datacontenttype: str) -> bool:
    """Whether it declares JSON: `*/json` or `*/*+json`, parameters aside (JSON format, 3.1.1)."""
    found = _MEDIA_TYPE.fullmatch(datacontenttype)
    return found is not None and found[1].lower().rpartition("+")[2] == "json"


def is_time(text: str) -> bool:
    """Whether it is an RFC 3339 timestamp of an existing day, years 0000 to 9999.

    The second 60 is taken where RFC 3339 (5.7) has it: at 23:59:60 UTC on the last day of June or December.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if day < 1 or day > _days(year, month):
        return False
    if second < 60:
        return True
    sign, hours, minutes = found.groups()[6:]
    offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * (1 if sign == "+" else -1)
    days, of_day = divmod(hour * 60 + minute - offset, 1440)
    if of_day != 1439:
        return False
    if day + days < 1:  # the day before, in UTC
        return month in (1, 7)
    return month in (6, 12) and day + days == _days(year, month)


def _days(year: int, month: int) -> int:
    """The days of a month; year 0 (a leap year) has a calendar of its own nowhere, so 2000's is read."""
    return monthrange(year % 400 + 2000, month)[1]
