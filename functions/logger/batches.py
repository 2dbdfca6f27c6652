"""What the logger writes in one transaction: all it took, or less of a topic where config bounds that (`buffer.messages`)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from shared.domain.logged import Taken
from shared.domain.message import Message
from shared.domain.record import Accepted, Attempt, Flush, part_of

Most = Callable[[Message], int | None]  # how many messages of such a topic may be in one batch; None where nobody says


def batches(taken: Sequence[Taken], most: Most) -> Iterator[list[Taken]]:
    """The flushes in their order, cut so that no batch has more of a topic than it may. A flush that has too many itself is cut in parts,
    which the store tells from each other."""
    batch: list[Taken] = []
    counts: Counter[tuple[str, str]] = Counter()
    for flush in taken:
        for part in _parts(flush, most):
            more, bounds = _count(part, most)
            if batch and any(counts[key] + count > bounds[key] for key, count in more.items()):
                yield batch
                batch, counts = [], Counter()
            batch.append(part)
            counts += more
    if batch:
        yield batch


def _count(flush: Taken, most: Most) -> tuple[Counter[tuple[str, str]], dict[tuple[str, str], int]]:
    """How many messages of each bounded topic there are, and the bounds."""
    counts: Counter[tuple[str, str]] = Counter()
    bounds: dict[tuple[str, str], int] = {}
    for message in _messages(flush):
        bound = most(message)
        if bound is not None:
            key = message.org, message.topic
            counts[key] += 1
            bounds[key] = min(bound, bounds.get(key, bound))
    return counts, bounds


def _messages(flush: Taken) -> Iterator[Message]:
    if isinstance(flush, Flush):
        for _, record in flush.new():
            if isinstance(record, Accepted | Attempt):
                yield record.message


def _parts(flush: Taken, most: Most) -> list[Taken]:
    counts, bounds = _count(flush, most)
    if not isinstance(flush, Flush) or all(count <= bounds[key] for key, count in counts.items()):
        return [flush]
    parts: list[set[int]] = [set()]
    seen: Counter[tuple[str, str]] = Counter()
    for index, record in flush.new():
        key = (record.message.org, record.message.topic) if isinstance(record, Accepted | Attempt) else None
        if key in bounds and seen[key] >= bounds[key]:
            parts.append(set())
            seen = Counter()
        parts[-1].add(index)
        if key is not None:
            seen[key] += 1
    return [part_of(flush, frozenset(part)) for part in parts]
