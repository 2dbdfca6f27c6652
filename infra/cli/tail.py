"""`switchboard tail`: messages as they come, one a line, from the live feed (contracts.md, "Watching"), and stored ones before them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.text import Text
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from infra.cli import output
from infra.cli.answers import read_json
from infra.cli.connection import KINDS, Connection, connect
from infra.cli.past import Frame, stored, then_live
from shared.domain.errors import Fault, Overloaded, SwitchboardError, Unavailable

SUBPROTOCOL = Subprotocol("switchboard.feed.v1")
SILENCE = 40.0  # seconds; the feed says something every 15 s
LONGEST_WAIT = 10.0  # seconds between two tries to connect
ROOM_AGAIN_MS = 5_000  # how long to wait for room where the feed doesn't say
DATA = 80  # characters of a message's data on its line


def register(app: typer.Typer) -> None:
    """Add `tail`."""
    app.command("tail")(tail)


def tail(
    topic: Annotated[str, typer.Option(help="Only topics that match this pattern, e.g. 'orders.>'.")] = "",
    subject: Annotated[str, typer.Option(help="Only messages to this subject.")] = "",
    verdict: Annotated[str, typer.Option(help="Only 'accepted' or 'blocked' messages.")] = "",
    filter: Annotated[str, typer.Option(help="Only messages of which this CEL expression is true, e.g. 'data.total > 100'.")] = "",
    since: Annotated[str, typer.Option(help="First what is stored from then on: 15m, 2h, 7d, or a time like 2026-01-31T12:00:00Z.")] = "",
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Watch messages live, until interrupted. After a lost connection it goes on where it was; where too many watch, it waits.

    Example: switchboard tail --topic 'orders.>'

    Example: switchboard tail --subject agent-7 --since 15m

    Example: switchboard tail --filter 'has(data.total) && data.total > 100'
    """
    wanted = {"topic": topic, "subject": subject, "verdict": verdict, "filter": filter}
    asyncio.run(_print(connect(), {name: value for name, value in wanted.items() if value}, since, format))


async def _print(where: Connection, wanted: dict[str, str], since: str, form: output.Format) -> None:
    console, told = output.console(), False
    live = frames(where, wanted, "stored" if since else "")
    async for frame in then_live(lambda: _past(where, wanted, since), live) if since else live:
        if not told:  # the feed's first frame says from where on: what is sent from now on is seen
            told = True
            what = ", ".join(f"{name} {value}" for name, value in wanted.items()) or "everything"
            typer.echo(f"watching {what}; Ctrl-C ends", err=True)
        if form is output.Format.JSON:
            _print_json(frame)
        else:
            for line in lines(frame):
                console.print(line, soft_wrap=True)


async def _past(where: Connection, wanted: dict[str, str], since: str) -> list[Frame]:
    past, more = await stored(where, {**wanted, "since": since})
    if more:
        typer.echo(f"the newest {len(past)} only: `switchboard query --since {output.cell(since)} --all` has more", err=True)
    return past


def _print_json(frame: Frame) -> None:
    """A line a message, as the feed shows it; deliveries and gaps as `{"delivery": ...}` and `{"gap": ...}`."""
    for message in frame.get("messages", ()):
        output.print_json_line(message)
    for delivery in frame.get("deliveries", ()):
        output.print_json_line({"delivery": delivery})
    if "gap" in frame:
        output.print_json_line({"gap": frame["gap"]})


async def frames(where: Connection, wanted: dict[str, str], begin: str = "") -> AsyncIterator[Frame]:
    """The feed's frames, across lost connections: each new one goes on behind the last cursor. `begin`: where the first one begins.

    Raises the error of shared.domain.errors that the feed refuses the subscription with, but for want of room, which it waits for;
    Unavailable when the first connection fails.
    """
    first = {"topic": wanted.get("topic", ">"), **({"begin": begin} if begin else {})}
    cursor, failures, reached, said = "", 0, False, False
    while True:
        wait = min(0.2 * 2**failures, LONGEST_WAIT) * random.uniform(0.75, 1.25)  # noqa: S311  # jitter, no secret
        try:
            async for frame in _connected(where, {**wanted, **({"cursor": cursor} if cursor else first)}):
                reached, failures, said = True, 0, False
                cursor = frame.get("cursor", cursor)
                yield frame
        except Overloaded as busy:
            wait = (busy.retry_after_ms or ROOM_AGAIN_MS) / 1_000 * random.uniform(1.0, 1.25)  # noqa: S311
            if not said:
                said = True
                typer.echo(f"waiting: {busy.detail}", err=True)
        except InvalidStatus as error:
            refused = _of_status(error)
            if refused.status < 500 or not reached:
                raise refused from error
        except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
            if not reached:
                raise Unavailable(f"{where.url} does not answer: {error}") from error
        await asyncio.sleep(wait)
        failures += 1


async def _connected(where: Connection, parameters: dict[str, str]) -> AsyncIterator[Frame]:
    """The frames of one connection. Raises Overloaded where there is no room for it now, whether it was opened or not."""
    url = f"{where.websocket_url}/v1/feed?{urlencode(parameters)}"
    opening = open_websocket(
        url, additional_headers=where.headers, subprotocols=[SUBPROTOCOL], compression=None, max_size=None, open_timeout=10
    )
    try:
        connection = await opening
    except InvalidStatus as error:
        if isinstance(refused := _of_status(error), Overloaded):
            raise refused from error
        raise
    async with connection:
        while True:
            async with asyncio.timeout(SILENCE):
                frame: Frame = read_json(await connection.recv())
            if "error" in frame:
                raise _of_problem(frame["error"])
            yield frame


def _of_status(error: InvalidStatus) -> SwitchboardError:
    try:
        problem = json.loads(error.response.body or b"")
    except ValueError:
        problem = {}
    status = error.response.status_code
    return _of_problem({"status": status, "detail": f"the feed answered {status}"} | (problem if isinstance(problem, dict) else {}))


def _of_problem(problem: dict[str, Any]) -> SwitchboardError:
    full = str(problem.get("type", "")).endswith(f":{Overloaded.kind}")  # a 503, too, where it is no server that is missing but room
    kind = Overloaded if full else KINDS.get(problem["status"], SwitchboardError)
    faults = [Fault(str(fault.get("pointer", "")), str(fault.get("detail", ""))) for fault in problem.get("errors", ())]
    wait = problem.get("retry_after_ms")
    return kind(
        str(problem.get("detail", "refused")),
        rule=problem.get("rule"),
        faults=faults,
        status=problem["status"],
        retry_after_ms=wait if isinstance(wait, int) else None,
    )


def lines(frame: Frame) -> list[Text]:
    """What a person sees of a frame: a line a message, deliveries dimmed."""
    shown = [_message_line(message) for message in frame.get("messages", ())]
    shown += [_delivery_line(delivery) for delivery in frame.get("deliveries", ())]
    if "gap" in frame:
        gap = frame["gap"]
        shown.append(Text(f"-- missed from {gap['from']} to {gap['to']}: see `switchboard query --since {gap['from']}`", style="yellow"))
    return shown


def _message_line(message: dict[str, Any]) -> Text:
    blocked = message["verdict"] == "blocked"
    verdict = f"blocked:{message['rule']}" if blocked else message["verdict"]
    parts = (
        (_clock(message["received_at"]), "dim"),
        (f"{verdict:<9}", "red" if blocked else "green"),
        (output.cell(message["topic"]), "bold"),
        (f"-> {output.cell(message['subject'])}" if message["subject"] is not None else "", ""),
        (output.cell(message["source"]), "cyan"),
        (message["door"], "dim"),
        (message["id"], "dim"),
        (_data(message), ""),
    )
    return Text("  ").join(Text(text, style=style) for text, style in parts if text)


def _delivery_line(delivery: dict[str, Any]) -> Text:
    place = delivery["error"] or f"{delivery['stream']} #{delivery['sequence']}"
    outcome = "failed" if delivery["error"] else "delivered"
    text = f"{_clock(delivery['time'])}  {outcome:<9}  {delivery['backbone']}  {place}  {delivery['id']}"
    return Text(output.cell(text), style="red" if delivery["error"] else "dim")


def _data(message: dict[str, Any]) -> str:
    text = output.data_line(message)
    return text if len(text) <= DATA else f"{text[: DATA - 1]}…"


def _clock(time: str) -> str:
    """An RFC 3339 time as the clock here shows it, to the millisecond."""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]
