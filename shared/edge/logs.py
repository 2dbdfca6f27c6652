"""One line of JSON a log record, on stderr: wide lines that a log store can filter by field."""

import json
import logging
import sys
from datetime import UTC, datetime

from shared.edge.asgi import Scope, header

requests = logging.getLogger("switchboard.request")

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record, its `extra` fields beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    """Send the process's logs to stderr as JSON lines. For processes we start ourselves; never called on import."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level)


def log_request(function: str, scope: Scope, status: int, seconds: float) -> None:
    """One wide line about a request. No key, no query string (it may hold what only the caller may read), no body."""
    level = logging.ERROR if status >= 500 and status != 503 else logging.INFO
    if not requests.isEnabledFor(level):
        return
    client = scope.get("client")
    traceparent = header(scope, b"traceparent")
    fields = {
        "function": function,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 2),
        "client": client[0] if client else None,
        "traceparent": traceparent.decode("latin-1") if traceparent else None,
    }
    requests.log(level, "request", extra=fields)
