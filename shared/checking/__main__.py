"""The child: a Question on standard input, limits on itself, then a line of JSON for each event. `python -m shared.checking`."""

import resource
import sys

import msgspec

from shared.checking import Question
from shared.checking.verdict import verdict
from shared.codec import Context
from shared.domain.rules.rules import Rules


def main() -> None:
    """Read a question, answer it event by event."""
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question)
    bounds = question.bounds
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu_seconds, bounds.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rules = Rules(question.documents)
    context = Context(question.org, "http", question.principal.name, question.now)
    for event in question.events:
        sys.stdout.buffer.write(msgspec.json.encode(verdict(event, context, question.principal, rules)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
