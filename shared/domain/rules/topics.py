"""Which of many NATS patterns a topic falls under: a tree by token, so that it costs the topic's tokens and not the patterns."""

from collections.abc import Iterable, Mapping


class _Node:
    """What comes after some tokens: `here` is the pattern that ends here, `rest` the one that goes on with `>`."""

    __slots__ = ("here", "next", "rest")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.here: str | None = None
        self.rest: str | None = None


class Topics:
    """A fixed set of patterns that names.check_pattern takes. The answer is names.matches', for each of them."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root = _Node()
        for pattern in patterns:
            node = self._root
            tokens = pattern.split(".")
            for token in tokens[:-1] if tokens[-1] == ">" else tokens:
                node = node.next.setdefault(token, _Node())
            if tokens[-1] == ">":
                node.rest = pattern
            else:
                node.here = pattern

    def matching(self, topic: str) -> frozenset[str]:
        """The patterns that the topic falls under."""
        found: set[str] = set()
        nodes = [self._root]
        for token in topic.split("."):
            following: list[_Node] = []
            for node in nodes:
                if node.rest is not None:
                    found.add(node.rest)
                following += (inner for wanted in {token, "*"} if (inner := node.next.get(wanted)) is not None)
            nodes = following
        found.update(node.here for node in nodes if node.here is not None)
        return frozenset(found)

    def heaviest(self, weights: Mapping[str, int]) -> int:
        """The most that the patterns a topic falls under can weigh together, given what each weighs. Never too little; too much only where
        what comes after a `*` and after a name is never one topic's: to find out takes time without end."""
        return _heaviest(self._root, weights)


def _heaviest(node: _Node, weights: Mapping[str, int]) -> int:
    """What the patterns below a node can weigh together."""
    ends = weights.get(node.here or "", 0)
    wild = _heaviest(node.next["*"], weights) if "*" in node.next else 0
    named = max((_heaviest(inner, weights) for token, inner in node.next.items() if token != "*"), default=0)
    return max(ends, weights.get(node.rest or "", 0) + wild + named)
