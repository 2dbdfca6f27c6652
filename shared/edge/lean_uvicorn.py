"""uvicorn without its command line, its reloader and the logging it configures: a tenth of a start, and none of it is ours.

What of uvicorn is imported first is imported here, or in the same way.
"""

import sys

from shared.lean_import import lean

LATE = ("uvicorn", "logging.config")  # the package's own module imports the command line; uvicorn.config and the others don't need it

with lean(LATE):
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
    from uvicorn.server import Server

setattr(sys.modules["uvicorn"], "Config", Config)  # noqa: B010  # its modules ask the package for it when the server starts: no more is run then

__all__ = ["LATE", "Config", "HttpToolsProtocol", "RequestResponseCycle", "Server"]
