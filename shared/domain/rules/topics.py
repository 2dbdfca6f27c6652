"""Which of many NATS patterns a topic falls under: a tree by token, so that it costs the topic's tokens and not the patterns."""

from collections.abc import Iterable


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
