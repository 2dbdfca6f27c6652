"""`switchboard listen`: receive messages from the backbone and acknowledge them, as an agent does."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from functions.query.parameters import moment
from infra.cli import output
from infra.cli.agent import Agent, read_agent
from infra.cli.connection import checked, connect, read_endpoints
from shared.codec.json_text import is_json
from shared.domain.errors import Malformed
from shared.domain.names import check_org, check_pattern
from shared.domain.registry.login import Login

if TYPE_CHECKING:
    from shared.adapters.nats.listening import Heard, Wanted

DATA_WIDTH = 400  # characters of a message's data in a line

NOBODY = Agent(Login(), "", "", "", (), ())  # who listens without credentials of its own, and may do everything

_DURABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def register(app: typer.Typer) -> None:
    """Add `listen`."""
    app.command("listen")(listen)


def listen(
    subject: Annotated[str | None, typer.Option(help="The recipient. Default: any, and messages to nobody in particular.")] = None,
    topic: Annotated[str | None, typer.Option(help="A pattern: 'orders.*', 'orders.>'. Quote it.")] = None,
    org: Annotated[str | None, typer.Option(help="Default: the key's.")] = None,
    durable: Annotated[
        str | None, typer.Option(help="A name under which the backbone remembers what was received: the next time goes on from there.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="End after so many.", min=1)] = None,
    since: Annotated[str | None, typer.Option(help="Also what came from then on: 15m, 2h, 7d, or 2026-01-31T12:00:00Z.")] = None,
    credentials: Annotated[
        Path | None, typer.Option(help="A file of `switchboard backbone credentials`: as whom, and at which backbone, to listen.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Also everything the backbone still has.")] = False,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Receive messages and acknowledge them, one line each, until Ctrl-C: those of the backbone, and those for `global` where it is a leaf.

    Example: switchboard listen --subject agent-7

    Example: switchboard listen --topic 'orders.>' --durable billing -o json

    Example: switchboard listen --credentials agent-7.creds
    """
    from shared.adapters.nats.listening import Wanted  # not before it is needed: nats-py takes 0.1 s

    if durable is not None and not _DURABLE.fullmatch(durable):
        raise Malformed("--durable is 1 to 64 letters, digits, '-' and '_'")
    start = None if since is None else datetime.fromtimestamp(moment("since", since, time.time_ns() // 1000) / 1_000_000, UTC)
    pattern = None if topic is None else check_pattern(topic)
    agent = NOBODY if credentials is None else read_agent(credentials)
    place = agent.org or (check_org(org) if org is not None else own_org())
    if org not in (None, place):
        raise Malformed(f"--org: the credentials are of {place}")
    wanted = Wanted(
        org=place,
        filter=f"sb.{place}.{agent.tail(subject, pattern)}",
        durable=agent.durable(durable),
        since=start,
        all=all,
        login=agent.login if credentials is not None else None,
        inbox=agent.inbox,
    )
    # What credentials are for comes first: elsewhere they mean nothing, and the URL may bring a password that lets everything in.
    url = agent.server or os.environ.get("SWITCHBOARD_NATS_URL") or read_endpoints(os.environ)["nats"]
    asyncio.run(_listen(url, wanted, count, json_line if format is output.Format.JSON else human_line))


def own_org() -> str:
    """The org of the key in use."""
    connection = connect()
    with connection.client() as client:
        session = checked(client.post("/v1/session", json={"key": connection.key})).json()
    return str(session["org"])


async def _listen(url: str, wanted: "Wanted", count: int | None, line: Callable[["Heard"], str]) -> None:
    """Print until `count` is reached or a signal comes. What was printed is acked; what was not is not."""
    listening = asyncio.create_task(_print(url, wanted, count, line))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, listening.cancel)
    try:
        await listening
    except asyncio.CancelledError:
        return


async def _print(url: str, wanted: "Wanted", count: int | None, line: Callable[["Heard"], str]) -> None:
    from shared.adapters.nats.listening import listen as hear

    left = count
    async with aclosing(hear(url, wanted, _announce)) as messages:
        async for heard in messages:
            sys.stdout.write(line(heard) + "\n")
            sys.stdout.flush()
            await heard.ack()
            if left is not None and (left := left - 1) == 0:
                return


def _announce(filters: Sequence[str], older: int) -> None:
    sys.stderr.write(f"listening on {' and '.join(map(output.cell, filters))}; Ctrl-C ends\n")
    if older:
        sys.stderr.write(f"{older:,} older message{'s' if older > 1 else ''}: --all shows {'them' if older > 1 else 'it'}\n")
    sys.stderr.flush()


def human_line(heard: "Heard") -> str:
    """When it was stored, its topic, subject, source and data, for a person."""
    attributes, data = _read(heard)
    when = heard.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    topic = attributes.get("topic", attributes.get("type", heard.subject))
    shown = [when, topic, attributes.get("subject", "-"), attributes.get("source", "-"), _data_text(data)]
    return "  ".join(output.cell(text) for text in shown)


def json_line(heard: "Heard") -> str:
    """The message as a CloudEvent in JSON (CloudEvents JSON format, 3.1.1), on one line.

    JSON data stays as it was written, white space aside; other text is a string, other bytes `data_base64`.
    """
    attributes, data = _read(heard)
    event: dict[str, object] = dict(attributes)
    if data is not None:
        event |= _data_member(data, attributes.get("datacontenttype"))
    return msgspec.json.encode(event).decode()


def _read(heard: "Heard") -> tuple[Mapping[str, str], bytes | None]:
    """Attributes and data. What others put on the subject is shown as it is."""
    from shared.adapters.nats.binding import decode_nats

    try:
        event = decode_nats(heard.headers, heard.payload)
    except Malformed:
        return {}, heard.payload
    return event.attributes, event.data


def _data_member(data: bytes, content_type: str | None) -> dict[str, object]:
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        return {"data": msgspec.Raw(msgspec.json.format(data, indent=-1))} if is_json(data) else {"data_base64": data}
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": data}


def _data_text(data: bytes | None) -> str:
    if data is None:
        return "-"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"<{len(data)} bytes>"
    text = text.replace("\n", " ").replace("\t", " ")
    return text if len(text) <= DATA_WIDTH else f"{text[:DATA_WIDTH]}…"
