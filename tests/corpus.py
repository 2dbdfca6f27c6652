"""Events good and bad, and what a door must say to each (reliability.md, "Bad input", rows `everywhere` and `HTTP`).

One table for every door. A door that has no headers takes the structured cases and the batches. Each case has an event id of its own,
so that they can all be sent to one org; the ids are the same in every run, so a run needs an org of its own.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

STRUCTURED = b"application/cloudevents+json"
BATCH = b"application/cloudevents-batch+json"


class Case(NamedTuple):
    """One request. `status` is the answer's; `pointer` names the fault, where it isn't 202 (None: any, or none).

    `items` is for batches: the pointer of each event's fault, None where the event is taken.
    """

    name: str
    content_type: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    status: int = 202
    pointer: str | None = None
    items: tuple[str | None, ...] = ()


def attributes(name: str, **changes: Any) -> dict[str, Any]:
    """An event's attributes and data, of the id that the case's name makes; a change to `...` takes one away."""
    event = {"specversion": "1.0", "id": name.replace(" ", "-"), "source": "/corpus", "type": "corpus.case", "data": {"a": 1}}
    return {key: value for key, value in {**event, **changes}.items() if value is not ...}


def structured(name: str, pointer: str | None = None, status: int | None = None, /, **changes: Any) -> Case:
    """A structured event; with a pointer it is one that must be refused."""
    body = json.dumps(attributes(name, **changes), ensure_ascii=False).encode()
    return Case(name, STRUCTURED, (), body, status or (202 if pointer is None else 400), pointer)


def spelled(name: str, pointer: str | None, fragment: bytes, **changes: Any) -> Case:
    """A structured event that ends with a member as it is spelled."""
    body = json.dumps(attributes(name, **changes)).encode()[:-1] + b"," + fragment + b"}"
    return Case(name, STRUCTURED, (), body, 202 if pointer is None else 400, pointer)


def binary(
    name: str, pointer: str | None = None, *more: tuple[bytes, bytes], content_type: Any = b"application/json", **changes: Any
) -> Case:
    """A binary event with changed or more headers; a change to `...` takes one away."""
    event = attributes(name, **{"data": ..., **changes})
    headers = tuple((b"ce-" + key.encode(), value if isinstance(value, bytes) else value.encode()) for key, value in event.items())
    return Case(name, content_type, (*headers, *more), b'{"a":1}', 202 if pointer is None else 400, pointer)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def _unreadable() -> Iterator[Case]:
    yield Case("empty", STRUCTURED, (), b"", 400, "")
    yield Case("blank", STRUCTURED, (), b" \n", 400, "")
    yield Case("NUL", STRUCTURED, (), b"\x00", 400, "")
    yield Case("no JSON", STRUCTURED, (), b"<event/>", 400, "")
    yield Case("null", STRUCTURED, (), b"null", 400, "")
    yield Case("array where one event is due", STRUCTURED, (), b"[]", 400, "")
    yield Case("byte order mark", STRUCTURED, (), b"\xef\xbb\xbf" + structured("byte order mark").body, 400, "")
    yield Case("UTF-16", STRUCTURED, (), structured("UTF-16").body.decode().encode("utf-16"), 400, "")
    yield Case("cut off", STRUCTURED, (), structured("cut off").body[:-1], 400, None)
    yield Case("more behind the event", STRUCTURED, (), structured("more behind the event").body + b"{}", 400, None)


def _characters() -> Iterator[Case]:
    yield structured("NUL in an attribute", "/subject", subject="a\x00b")
    yield structured("control character", "/type", type="a\nb")
    yield structured("delete character", "/x", x="a\x7fb")
    yield structured("C1 control character", "/id", id="a\x85b")
    yield structured("noncharacter", "/subject", subject="a\ufffeb")
    yield structured("noncharacter of plane 16", "/subject", subject="\U0010ffff")
    yield spelled("raw control character", "/subject", b'"subject":"a\x01b"')
    yield spelled("lone surrogate", "/subject", b'"subject":"\\ud800 and more"')
    yield spelled("low surrogate first", "/subject", b'"subject":"\\udc00\\ud800"')
    yield spelled("lone surrogate in data", "/data", b'"data":{"a":"\\udfff and more"}', data=...)
    yield spelled("lone surrogate in text data", "/data", b'"data":"\\ud800 and more"', data=..., datacontenttype="text/plain")
    yield spelled("surrogate pair", None, b'"subject":"\\ud83d\\ude00"')
    yield spelled("invalid UTF-8", "/subject", b'"subject":"a\xffb"')
    yield spelled("encoded surrogate", "/subject", b'"subject":"\xed\xa0\x80"')
    yield spelled("overlong UTF-8", "/subject", b'"subject":"\xc0\xaf"')
    yield spelled("invalid UTF-8 in data", "/data", b'"data":{"a":"\xff"}', data=...)
    yield spelled("invalid UTF-8 in text data", "/data", b'"data":"\xff"', data=..., datacontenttype="text/plain")
    yield spelled("invalid UTF-8 in an extension", "/x", b'"x":"\xff"')


def _numbers() -> Iterator[Case]:
    yield spelled("NaN", "/data", b'"data":NaN', data=...)
    yield spelled("Infinity within data", "/data", b'"data":{"a":-Infinity}', data=...)
    yield spelled("NaN as an attribute", "/x", b'"x":NaN')
    yield spelled("1e400 as data", None, b'"data":1e400', data=...)
    yield spelled("1e400 as an attribute", "/x", b'"x":1e400')
    yield spelled("5000 digits as data", None, b'"data":' + b"9" * 5000, data=...)
    yield spelled("5000 digits as an attribute", "/x", b'"x":' + b"9" * 5000)
    for exponent, number in (("31", 2**31), ("31 below", -(2**31) - 1), ("63", 2**63), ("63 plus 1", 2**63 + 1), ("63 minus 1", 2**63 - 1)):
        yield structured(f"2^{exponent} as an attribute", "/x", x=number)
        yield structured(f"2^{exponent} as data", data=number)
    yield structured("largest integer", x=2**31 - 1)
    yield structured("smallest integer", x=-(2**31))
    yield spelled("fraction", "/x", b'"x":1.0')
    yield spelled("leading zero", "/x", b'"x":01')


def _repeats() -> Iterator[Case]:
    yield spelled("id twice", "/id", b'"id":"other"')
    yield spelled("id twice the same", "/id", b'"id":"id-twice-the-same"')
    yield spelled("id twice in disguise", "/id", b'"\\u0069d":"other"')
    yield spelled("data twice", "/data", b'"data":{"a":1}')
    yield spelled("extension twice", "/x", b'"x":1', x=12)
    yield spelled("extension twice and null", "/x", b'"x":null', x="a")
    yield spelled("name twice within data", None, b'"data":{"a":1,"a":2}', data=...)
    yield structured("quotes in a text", subject='say "id" twice', type='a\\"b')


def _depth() -> Iterator[Case]:
    yield spelled("512 levels", None, b'"data":' + nested(512), data=...)
    yield spelled("513 levels", "/data", b'"data":' + nested(513), data=...)
    yield spelled("100000 levels", "/data", b'"data":' + nested(100_000), data=...)
    yield spelled("100000 levels of objects", "/data", b'"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000, data=...)
    yield spelled("100000 levels in an attribute", "/x", b'"x":' + nested(100_000))
    yield spelled("brackets in text are no levels", None, b'"data":"' + b"[{" * 2000 + b'"', data=...)


def _sizes() -> Iterator[Case]:
    yield structured("100 extensions", **{f"x{number}": "a" for number in range(100)})
    yield structured("101 extensions", "/x100", **{f"x{number}": "a" for number in range(101)})
    yield structured("100000 attributes", "/x100", **{f"x{number}": 1 for number in range(100_000)})
    yield structured("64 KiB of attributes", "/x10", **{f"x{number}": "a" * 1000 for number in range(66)})
    yield structured("almost 64 KiB of attributes", **{f"x{number}": "a" * 1000 for number in range(64)})
    yield structured("64 KiB once encoded", "/x", x="\u00e9" * 11_000)


# fmt: off
NO_TIMES = (
    "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "99-01-01T00:00:00Z", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z",
    "2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-04-31T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
    "2024-01-01T00:00:61Z", "2024-01-01T00:00:60Z", "2016-12-31T22:59:60Z", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z",
    "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+0100", "2024-01-01T00:00Z",
    "2024-W01-1T00:00:00Z", "\u0662024-01-01T00:00:00Z", "", "now",
)
# fmt: on


def _times() -> Iterator[Case]:
    for text in ("0000-02-29T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2024-02-29t12:00:00z", "2016-12-31T23:59:60Z"):
        yield structured(f"time {text}", time=text)
    yield structured("leap second in another zone", time="2017-01-01T05:29:60.5+05:30")
    yield structured("leap second before midnight", time="2015-06-30T16:59:60-07:00")
    for text in NO_TIMES:
        yield structured(f"no time {text}"[:30], "/time", time=text)


def _everywhere() -> Iterator[Case]:
    """What any door may be sent, one concept after the other."""
    for cases in (_unreadable, _characters, _numbers, _repeats, _depth, _sizes, _times):
        yield from cases()


def _attributes() -> Iterator[Case]:
    for name in ("specversion", "id", "source", "type"):
        yield structured(f"no {name}", f"/{name}", **{name: ...})
        yield structured(f"{name} null", f"/{name}", **{name: None})
        yield structured(f"{name} empty", f"/{name}", **{name: ""})
        yield structured(f"{name} a number", f"/{name}", **{name: 1})
        yield binary(f"no ce-{name}", f"ce-{name}", **{name: ...})
        yield binary(f"ce-{name} empty", f"ce-{name}", **{name: ""})
    for name in ("subject", "time", "datacontenttype", "dataschema", "topic"):
        yield structured(f"{name} unset", **{name: None})
        yield structured(f"{name} blank", f"/{name}", **{name: ""})
        yield structured(f"{name} true", f"/{name}", **{name: True})
        yield structured(f"{name} an object", f"/{name}", **{name: {}})
    yield structured("specversion 0.3", "/specversion", specversion="0.3")
    yield structured("specversion 1.00", "/specversion", specversion="1.00")
    for source in ("a b", "/a#b#c", "caf\u00e9", "/a%zz", "<>"):
        yield structured(f"source {source}", "/source", source=source)
    for source in (
        "https://h.example:80/a?b=c#d",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:a@b.example",
        "1-555-123-4567",
        "10.0.0.1:80",
        "#",
        "%C3%A9",
    ):
        yield structured(f"source {source}", source=source)
    yield structured("dataschema relative", "/dataschema", dataschema="/schema")
    yield structured("dataschema", dataschema="https://h.example/schema#/orders")
    for text in ("json", "application/", "text/plain;charset", "a/b c", "a/b\u00e9"):
        yield structured(f"datacontenttype {text}", "/datacontenttype", datacontenttype=text, data="x")
    for name in ("myExt", "my_ext", "my-ext", "my.ext", "", "\u00e9", "A" * 70_000):
        where = f"/{name}" if len(name) < 64 else f"/{name[:64]}..."
        yield structured(f"extension {name}"[:40], where, **{name: "a"})
    yield structured("extension of 70000 letters", f"/{'a' * 64}...", **{"a" * 70_000: "b"})
    for name in ("sbid", "sbrevision", "sbreplay", "sbrepair", "sbproof", "sbprincipal", "sbgrants", "sbshard"):
        yield structured(f"{name} is ours", f"/{name}", **{name: "a"})
        yield structured(f"{name} is ours, whatever its value", f"/{name}", **{name: True})
        yield binary(f"ce-{name} is ours", f"ce-{name}", (f"ce-{name}".encode(), b"a"))
    yield structured("names like ours", sbcut=True, sb="a", sbids=1)
    yield structured("pointer is escaped", "/a~1b~0c", **{"a/b~c": "a"})
    yield structured("extension of many letters", **{"a" * 200: "b"})
    yield structured("extensions of every type", x=True, y=0, z="", w=None, v=-5, u="\u00e9 \U0001f600")
    for value in ([], {}, [1], {"a": "b"}):
        yield structured(f"extension is {value}", "/x", x=value)
    yield structured("trace", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate="a=b")
    yield structured("unusual type", type="\u00e9 *.> % \U0001f600 / \\ \"' _", subject=". * > % _ \u4e2d")
    yield structured("topic with empty tokens", topic="a..b.")
    yield structured("subject and topic of 1024 bytes", subject="s" * 500, topic="t" * 515)
    yield structured("topic too long", "/topic", topic="t" * 1024)
    yield structured("topic too long once encoded", "/topic", topic="*" * 400)
    yield structured("subject far too long", "/subject", subject="s" * 30_000)
    yield structured("type too long to be a topic", "/type", type="t" * 1100)


def _data() -> Iterator[Case]:
    yield structured("no data", data=...)
    for value in (None, True, 0, -1.5e3, "", "text", [], {}, [1, [2]], {"\u00e9": "\U0001f600"}):
        yield structured(f"data {json.dumps(value)}", data=value)
        yield structured(f"text data {json.dumps(value)}", data=value, datacontenttype="text/plain")
    yield structured("base64", data=..., data_base64="AAH/", datacontenttype="application/octet-stream")
    yield structured("base64 empty", data=..., data_base64="")
    yield structured("base64 unset", data_base64=None)
    for encoded in ("A", "AAH", "AA=H", "AAH/\n", "AAH_", "AAH/=", "\u00e9", "====", "AA==AA=="):
        yield structured(f"base64 {encoded!r}", "/data_base64", data=..., data_base64=encoded)
    yield structured("base64 a number", "/data_base64", data=..., data_base64=1)
    yield structured("data twice in two ways", "/data_base64", data_base64="AAH/")
    yield structured("data null beside base64", "/data_base64", data=None, data_base64="AAH/")


def _http() -> Iterator[Case]:
    yield Case("no content type", None, (), structured("no content type").body, 415, "content-type")
    yield Case("plain JSON", b"application/json", (), structured("plain JSON").body, 415, "content-type")
    yield Case("form", b"application/x-www-form-urlencoded", (), b"a=b", 415, "content-type")
    yield Case("another format", b"application/cloudevents+avro", (), b"", 415, "content-type")
    yield Case("no format", b"application/cloudevents", (), structured("no format").body, 415, "content-type")
    yield Case("another charset", STRUCTURED + b"; charset=utf-16", (), structured("another charset").body, 415, "content-type")
    yield Case("charset", STRUCTURED + b"; charset=UTF-8", (), structured("charset").body)
    yield Case("capitals", b"Application/CloudEvents+JSON ; a=b", (), structured("capitals").body)
    yield Case("binary and structured", STRUCTURED, ((b"ce-id", b"a"),), structured("binary and structured").body, 400, "ce-id")
    yield Case("binary and batch", BATCH, ((b"ce-type", b"a"),), b"[]", 400, "ce-type")
    yield binary("binary")
    yield binary("binary without content type", content_type=None)
    yield binary("binary text", content_type=b"text/plain; charset=utf-8")
    yield binary("binary content type", "content-type", content_type=b"json")
    yield binary(
        "binary with every attribute", None, (b"ce-x", b"true"), subject="s", topic="t", time="2024-01-01T00:00:00Z", dataschema="urn:a"
    )
    yield binary("ce-id twice", "ce-id", (b"ce-id", b"other"))
    yield binary("ce-x twice", "ce-x", (b"ce-x", b"a"), (b"ce-x", b"a"))
    yield binary("ce-specversion 2", "ce-specversion", specversion="2.0")
    yield binary("ce-datacontenttype", "ce-datacontenttype", (b"ce-datacontenttype", b"application/json"))
    yield binary("ce-data", "ce-data", (b"ce-data", b"a"))
    yield binary("ce- without a name", "ce-", (b"ce-", b"a"))
    yield binary("ce-my_ext", "ce-my_ext", (b"ce-my_ext", b"a"))
    yield binary("ce-my-ext", "ce-my-ext", (b"ce-my-ext", b"a"))
    yield binary("CR LF in a value", "ce-x", (b"ce-x", b"a%0D%0Aset-cookie: b"))
    yield binary("NUL in a value", "ce-subject", subject="a%00b")
    yield binary("invalid UTF-8 in a value", "ce-subject", subject="a%FF")
    yield binary("surrogate in a value", "ce-subject", subject="%ED%A0%80")
    yield binary("percent-encoded", subject="Euro%20%E2%82%AC%20%F0%9F%98%80%20100%25")
    yield binary("percent that encodes nothing", subject="100% of %zz")
    yield binary("quoted", subject='"say \\"hi\\""')
    yield binary("UTF-8 as it is", subject="caf\u00e9".encode())
    yield binary("ce-source with a space", "ce-source", source="a b")
    yield binary("ce-source that its sender did not encode", source="/a%20b")
    yield binary("ce-time", "ce-time", time="yesterday")
    yield binary("ce-topic empty", "ce-topic", topic="")
    yield binary("ce-topic too long", "ce-topic", topic="t" * 1100)
    yield Case("binary without a body", b"application/json", binary("binary without a body").headers, b"")
    yield Case("binary of any bytes", b"application/json", binary("binary of any bytes").headers, bytes(range(256)))


def _batches() -> Iterator[Case]:
    good = structured("good neighbour").body
    better = structured("good neighbour too", subject="a,b]}\"'").body

    def among(name: str, bad: bytes, pointer: str) -> Case:
        return Case(f"batch with {name}", BATCH, (), b"[" + good + b" ,\n" + bad + b"," + better + b"]", 207, None, (None, pointer, None))

    yield Case("batch", BATCH, (), b" [" + good + b"," + better + b"] ", 202, None, (None, None))
    yield Case("empty batch", BATCH, (), b"[]")
    yield Case("batch that is an event", BATCH, (), good, 400, "")
    yield Case("batch that is nothing", BATCH, (), b"", 400, "")
    yield Case("batch that is cut off", BATCH, (), b"[" + good + b",", 400, "")
    yield Case("batch of one quote", BATCH, (), b'["]', 400, "")
    yield Case("batch with a byte order mark", BATCH, (), b"\xef\xbb\xbf[" + good + b"]", 400, "")
    for name, bad in (
        ("null", b"null"),
        ("a number", b"1"),
        ("a text", b'"a"'),
        ("an array", b"[]"),
        ("nothing", b""),
        ("no JSON", b"event"),
    ):
        yield among(name, bad, "")
    yield among("an empty object", b"{}", "/specversion")
    for case in (*_everywhere(), *_attributes(), *_data()):
        if case.content_type == STRUCTURED and case.status == 400 and case.pointer and len(case.body) < 10_000:
            yield among(case.name, case.body, case.pointer)
    yield among("100000 levels", next(case.body for case in _everywhere() if case.name == "100000 levels"), "/data")
    yield Case(
        "1000 events",
        BATCH,
        (),
        b"[" + b",".join(structured(f"event {n} of 1000").body for n in range(1000)) + b"]",
        202,
        None,
        (None,) * 1000,
    )
    yield Case("1001 events", BATCH, (), b"[" + b",".join(structured(f"event {n} of 1001").body for n in range(1001)) + b"]", 413, "/1000")
    yield Case("1001 of nothing", BATCH, (), b"[" + b"0," * 1000 + b"0]", 413, "/1000")
    yield Case("batch over 8 MiB", BATCH, (), b"[" + good + b" " * 8 * 1024 * 1024 + b"]", 413, "")


SINGLE = (*_everywhere(), *_attributes(), *_data(), *_http())
BATCHES = tuple(_batches())
