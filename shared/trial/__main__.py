"""The child of a trial: limits on itself first, then one line of JSON for each rule it is through with. `python -m shared.trial`."""

import resource
import sys
from collections.abc import Iterator
from time import process_time
from typing import Any

import msgspec

from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.rules.cel import compile_rule
from shared.domain.rules.facts import NOT_JSON, Facts, needs_of, read_data
from shared.domain.rules.policies import answer
from shared.domain.rules.schema import compile_schema
from shared.trial import Trial, Tried

_LENGTHS = (100, 3_000, 30_000)  # of what the data made here holds


def main() -> None:
    """Read a trial, try its parts in order."""
    trial = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Trial)
    bounds = trial.bounds
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu_seconds, bounds.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for at, text in trial.rules:
        _say(Tried(at, _rule(text, trial.sample, bounds.slowest_ms)))
    if trial.schema is not None:
        _say(Tried("/schema", _schema(msgspec.json.decode(trial.schema), trial.sample, bounds.slowest_ms)))


def _say(tried: Tried) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(tried) + b"\n")
    sys.stdout.buffer.flush()


def _rule(text: str, sample: list[Message], slowest_ms: int) -> str | None:
    try:
        program = compile_rule(text)
    except ValueError as error:
        return str(error)
    needs = needs_of([program.shape])
    for message in (*sample, *_made(sorted(program.shape.members or ()))):
        began = process_time()
        answer(program, Facts(message, Principal("trial", message.org, ()), needs))
        if (slow := _slow(began, slowest_ms)) is not None:
            return slow
    return None


def _schema(value: Any, sample: list[Message], slowest_ms: int) -> str | None:
    schema = compile_schema(value)
    names = list(value.get("properties", {}))[:20] if isinstance(value, dict) else []
    for message in (*sample, *_made(names)):
        data = read_data(message)
        if data is NOT_JSON or message.body is None or not schema.affordable(message.body):
            continue
        began = process_time()
        schema.faults(data)
        if (slow := _slow(began, slowest_ms)) is not None:
            return slow
    return None


def _slow(began: float, slowest_ms: int) -> str | None:
    took = (process_time() - began) * 1_000
    return f"takes {took:.0f} ms for one message; {slowest_ms} are allowed" if took > slowest_ms else None


def _made(names: list[str]) -> Iterator[Message]:
    """Messages with much in the members that a rule asks for: numbers, objects, and one long text."""
    for length in _LENGTHS:
        for value in ([0] * length, [{"name": "a", "value": 1}] * (length // 10), "a" * length):
            body = msgspec.json.encode(dict.fromkeys(names, value) if names else value)
            yield Message(
                id=bytes(16),
                digest=bytes(32),
                org="trial",
                topic="trial.made",
                subject="trial",
                source="/trial",
                event_id="1",
                type="trial.made",
                time=None,
                datacontenttype="application/json",
                dataschema=None,
                extensions=None,
                body=body,
                received_at=0,
                door="http",
                principal="trial",
            )


if __name__ == "__main__":
    main()
