"""Signals as things to wait for: no handler interrupts the main thread anywhere but in wait()."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked to stop while something was being waited for."""


class Signals:
    """From `with` on, SIGINT, SIGTERM and SIGHUP only set `stopping`, a second one `hurry`; these and SIGCHLD end a wait()."""

    def __init__(self) -> None:
        self.stopping = False
        self.hurry = False
        self._reader, self._writer = os.pipe()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in STOPPING:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup: the terminal may go
                self._before[number] = signal.signal(number, self._stop)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave us
        os.close(self._reader)
        os.close(self._writer)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.hurry = self.stopping
        self.stopping = True

    def wake(self) -> None:
        """End the wait() that runs now, or the next one. Any thread may call it."""
        os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or sooner when a signal comes or a child ends."""
        if select.select([self._reader], [], [], max(seconds, 0))[0]:
            os.read(self._reader, 4096)

    def pause(self, seconds: float) -> None:
        """wait(), for what should be given up when a signal asks to stop: raises Stopped then."""
        if self.stopping:
            raise Stopped
        self.wait(seconds)
        if self.stopping:
            raise Stopped
