"""nats-py's parser, with a short way for what a publishing connection is sent most: answers in its inbox, PubAcks nearly all of them."""

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nats.errors import ProtocolError
from nats.protocol import parser as theirs
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

if TYPE_CHECKING:
    from nats.aio.client import Client

LONGEST_LINE = 256 * 1024  # bytes: INFO is the longest, which may name hundreds of servers
LONGEST = 65 * 1024 * 1024  # bytes of a message: no server gives more than its max_pending, 64 MiB; a backbone's may be anybody's

_log = logging.getLogger(__name__)

Deliver = Callable[[bytes, bytes, bytes | None], None]  # subject, payload, header block

_answer_at = re.compile(rb"MSG (\S+) (\d+) (\d{1,9})\r\n").match  # as nats-server writes a message without headers and reply subject

# Spaces are taken once: theirs tries all ways of sharing them out, 5 s of CPU for 32 KiB, in which nothing else goes on.
theirs.INFO_RE = re.compile(rb"\AINFO[^\S\r\n]++([^\r\n]+)\r\n")


class AnswersFirst(Parser):
    """Takes whole messages of one subscription from the front of what was read; all else is nats-py's: it would take a microsecond and a
    half longer for each."""

    def __init__(self, client: "Client") -> None:
        super().__init__(client)
        self._deliver: Deliver | None = None
        self._number = b""

    def answers(self, subscription: int, deliver: Deliver) -> None:
        """Whose messages go to `deliver` from now on, in the order they come. It must not raise."""
        self._number, self._deliver = b"%d" % subscription, deliver

    async def parse(self, data: bytes = b"") -> None:
        """Hand over what was read from the server. Raises ProtocolError, which ends the connection, also for what is never whole, and what
        can't be read: with any other error nats-py reads no more, and takes the connection for a live one until pings are unanswered."""
        try:
            if self._deliver is not None and not self.buf and self.state == AWAITING_CONTROL_LINE:  # else it goes on with what was begun
                data = data[self._taken(data, self._deliver) :]
            if data:
                await super().parse(data)
        except (ProtocolError, OSError):
            raise
        except Exception as error:
            _log.warning("nats: what a server says can't be read: %r", error)
            _log.debug("nats: where it couldn't", exc_info=error)
            raise ProtocolError from error
        if len(self.buf) > (LONGEST_LINE if self.state == AWAITING_CONTROL_LINE else LONGEST):
            raise ProtocolError

    def _taken(self, data: bytes, deliver: Deliver) -> int:
        """How many bytes at the front were answers, which are delivered."""
        taken = 0
        while (found := _answer_at(data, taken)) is not None:
            subject, number, size = found.groups()
            start = found.end()
            end = start + int(size)
            if number != self._number or len(data) < end + 2:
                break
            deliver(subject, data[start:end], None)
            taken = end + 2
        return taken
