"""Sending a file of events: a JSON object a line, in batches that the door takes."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from infra.cli import output
from infra.cli.connection import KINDS, Connection, checked
from shared.domain.errors import Fault, Malformed, SwitchboardError

MAX_EVENTS = 1000
MAX_BYTES = 8 * 1024 * 1024 - 64 * 1024  # of a request; the door takes 8 MiB
BOM = b"\xef\xbb\xbf"  # some editors begin a file with it
HEADERS = {"content-type": "application/cloudevents-batch+json"}


@dataclass(slots=True)
class Tally:
    """What became of the events. `refused`: the first of each kind of error decides the exit code."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: list[SwitchboardError] = field(default_factory=list)

    def add_receipt(self, line: int, receipt: dict[str, Any], format: output.Format) -> None:
        """Count one event's receipt and print it: every one as JSON, for people those that were refused."""
        if format is output.Format.JSON:
            output.print_json_line(receipt)
        problem = receipt.get("problem")
        self.counts["duplicate" if receipt.get("duplicate") else str(receipt.get("status"))] += 1
        if problem:
            kind = KINDS.get(int(problem.get("status", 0)), SwitchboardError)
            self.refuse(line, kind(str(problem.get("detail") or problem.get("title")), rule=problem.get("rule")), format)

    def refuse(self, line: int, error: SwitchboardError, format: output.Format) -> None:
        """Note an event that was not accepted."""
        self.refused.append(error)
        if format is output.Format.TABLE:
            rule = f" (rule {error.rule})" if error.rule else ""
            sys.stderr.write(f"line {line}: {output.cell(error.detail)}{rule}\n")


def send_file(connection: Connection, file: Path, defaults: dict[str, str], format: output.Format) -> int:
    """Send every event of the file (`-`: stdin), and say what became of them; the exit code.

    An event without one of `defaults` gets it, and one without an id a new one; any other is sent as its line is, byte for byte.
    Raises what a request as a whole was refused with, after saying how many events went before it.
    """
    tally = Tally()
    with _opened(file) as lines, connection.client(timeout=60.0) as client:
        try:
            for batch in batches(read_events(lines, defaults, tally, format)):
                _send_batch(client, batch, tally, format)
        finally:
            if format is output.Format.TABLE:
                output.print_fields(dict(sorted(tally.counts.items())) or {"sent": 0})
    return output.EXIT_CODES.get(tally.refused[0].kind, output.FAILED) if tally.refused else 0


def batches(events: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Cut (line number, event) pairs into batches of at most MAX_EVENTS and MAX_BYTES; an event over that goes alone."""
    batch: list[tuple[int, bytes]] = []
    size = 0
    for line, event in events:
        if batch and (len(batch) == MAX_EVENTS or size + len(event) + 1 > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((line, event))
        size += len(event) + 1
    if batch:
        yield batch


def _send_batch(client: httpx.Client, batch: list[tuple[int, bytes]], tally: Tally, format: output.Format) -> None:
    response = client.post("/v1/events", headers=HEADERS, content=b"[" + b",".join(event for _, event in batch) + b"]")
    receipts = _receipts(response)
    if receipts is None or len(receipts) != len(batch):
        checked(response)
        raise SwitchboardError(f"{response.url} answered {response.status_code} without a receipt for each event")
    for (line, _), receipt in zip(batch, receipts, strict=True):
        tally.add_receipt(line, receipt, format)


def _receipts(response: httpx.Response) -> list[dict[str, Any]] | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    receipts = answer.get("receipts") if isinstance(answer, dict) else None
    return receipts if isinstance(receipts, list) else None


def read_events(lines: Iterable[bytes], defaults: dict[str, str], tally: Tally, format: output.Format) -> Iterator[tuple[int, bytes]]:
    """Each line's number and event; a line that is no event is noted and left out, and harms no other."""
    for number, line in enumerate(lines, start=1):
        event = line.removeprefix(BOM if number == 1 else b"").strip()
        if not event:
            continue
        try:
            yield number, _complete(event, defaults)
        except Malformed as error:
            tally.counts["malformed"] += 1
            tally.refuse(number, error, format)
            if format is output.Format.JSON:
                output.print_json_line(
                    {"id": None, "status": "malformed", "problem": {"status": 400, "detail": f"line {number}: {error.detail}"}}
                )


def _complete(line: bytes, defaults: dict[str, str]) -> bytes:
    try:
        event = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}", faults=[Fault("", str(error))]) from error
    if not isinstance(event, dict):
        raise Malformed("not a JSON object")
    missing = {name: value for name, value in ({"specversion": "1.0"} | defaults).items() if name not in event}
    if "id" not in event:
        missing["id"] = str(uuid.uuid4())
    if not missing:
        return line
    head = json.dumps(missing).encode()[:-1]  # in front of the line's own members, whose bytes stay as they are
    return head + b"," + line[1:] if event else head + b"}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")  # it would spoil the batch for its neighbours


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        raise Malformed(f"{file} can't be read: {error.strerror}") from error
    with opened:
        yield opened
