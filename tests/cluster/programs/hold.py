"""Fill a door's memory for bodies in flight: requests whose last byte doesn't come, held until stdin ends or `seconds` have passed.

Reads one line of JSON, the plan, from stdin; prints `held` when every byte but the last ones is on its way. Then the door's own load is
what it answers others with: 429, without a rule.
"""

import json
import selectors
import socket
import sys
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


if __name__ == "__main__":
    plan = json.loads(sys.stdin.readline())
    connections = held(plan)
    sys.stdout.write("held\n")
    sys.stdout.flush()
    with selectors.DefaultSelector() as until:
        until.register(sys.stdin, selectors.EVENT_READ)
        until.select(plan["seconds"])
    for connection in connections:
        connection.close()
