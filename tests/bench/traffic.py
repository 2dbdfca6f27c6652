"""The events the bench sends: about 478 bytes each, standard attributes, a subject, a topic and a time; every id is new."""

import itertools
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

_EVENT = (
    '{"specversion":"1.0","id":"%s","source":"/bench/shop-%d","type":"com.example.order.created","subject":"agent-%d","topic":"orders.created",'
    '"time":"2026-01-01T12:00:00.000Z","datacontenttype":"application/json","data":{"sku":"ABC-12345","quantity":3,"customer":"c-0012345",'
    '"note":"%s"}}'
)
_NOTE = "n" * 180


def events(sources: int = 4) -> Iterator[bytes]:
    """Structured events without end."""
    run = secrets.token_hex(4)
    for number in itertools.count():
        yield (_EVENT % (f"{run}-{number:09d}", number % sources, number % 50, _NOTE)).encode()


def single(url: str, key: str, count: int) -> Iterator[bytes]:
    """So many HTTP requests with an event each."""
    head = _head(url, key, "application/cloudevents+json")
    return (head % len(event) + event for event in itertools.islice(events(), count))


def batches(url: str, key: str, count: int, size: int) -> Iterator[bytes]:
    """So many HTTP requests with `size` events each."""
    head, source = _head(url, key, "application/cloudevents-batch+json"), events()
    for _ in range(count):
        body = b"[" + b",".join(itertools.islice(source, size)) + b"]"
        yield head % len(body) + body


def _head(url: str, key: str, content_type: str) -> bytes:
    place = urlsplit(url)
    lines = (
        f"POST {place.path or '/'} HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {key}",
        f"Content-Type: {content_type}",
        "Content-Length: %d",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
