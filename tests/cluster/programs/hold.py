"""Fill a door's memory for bodies in flight: requests whose last byte doesn't come, held until stdin ends or `seconds` have passed.

Reads one line of JSON, the plan, from stdin; prints `held` once the door answers others with 429, its own load; `missed` where it doesn't.
"""

import http.client
import json
import selectors
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit


def held(plan: dict[str, Any]) -> list[socket.socket]:
    """`connections` requests of `size` bytes each, all but the last byte sent."""
    place = urlsplit(plan["url"])
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: {place.hostname}\r\nAuthorization: Bearer {plan['key']}\r\n"
        f"Content-Type: application/cloudevents-batch+json\r\nContent-Length: {plan['size']}\r\n\r\n"
    )
    sockets = []
    for _ in range(plan["connections"]):
        connection = socket.create_connection((place.hostname, place.port or 80), timeout=10)
        connection.sendall(head.encode() + b" " * (plan["size"] - 1))
        sockets.append(connection)
    return sockets


def is_full(plan: dict[str, Any]) -> bool:
    """Whether the door refuses for its load, within 15 s: the bytes have to come through. Asked with what is no event."""
    until = time.monotonic() + 15
    headers = {"authorization": f"Bearer {plan['key']}", "content-type": "application/cloudevents+json"}
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(urlsplit(plan["url"]).netloc, timeout=10)
        connection.request("POST", "/v1/events", b" " * 1024, headers)
        if connection.getresponse().status == 429:
            return True
        connection.close()
    return False


if __name__ == "__main__":
    plan = json.loads(sys.stdin.readline())
    connections = held(plan)
    sys.stdout.write("held\n" if is_full(plan) else "missed\n")
    sys.stdout.flush()
    with selectors.DefaultSelector() as until:
        until.register(sys.stdin, selectors.EVENT_READ)
        until.select(plan["seconds"])
    for connection in connections:
        connection.close()
