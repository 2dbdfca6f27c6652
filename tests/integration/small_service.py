"""The least that `switchboard up` can supervise: answers 200 to everything, on the front's socket or on PORT.

GET /crash ends it at once; GET /environment shows its settings.
"""

import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/crash":
            os._exit(3)
        settings = {name: value for name, value in os.environ.items() if name.startswith("SWITCHBOARD_") or name == "PORT"}
        body = json.dumps({"pid": os.getpid(), "environment": settings}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: what is logged is not under test."""


def main() -> None:
    if os.environ.get("REFUSE_TO_RUN"):
        sys.stderr.write("SWITCHBOARD_CLUSTER: is not for this service\n")
        sys.exit(78)
    descriptor = os.environ.get("SWITCHBOARD_FRONT_FD")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
    server.socket.close()
    if descriptor:
        server.socket = socket.socket(fileno=int(descriptor))
    else:
        server.socket = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    server.serve_forever()


if __name__ == "__main__":
    main()
