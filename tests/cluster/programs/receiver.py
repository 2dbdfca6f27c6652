"""A sink that keeps what it is sent: POST to any path is 202, and GET of that path says what came there, in order."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

received: dict[str, list[dict[str, object]]] = {}


class Receiver(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        received.setdefault(self.path, []).append({"headers": headers, "body": body.decode("utf-8", "replace")})
        self._answer(202, b"")

    def do_GET(self) -> None:
        self._answer(200, json.dumps(received.get(self.path, [])).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what came is asked for."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
