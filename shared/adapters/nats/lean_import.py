"""nats-py without what our processes don't use of it, a third of a start of ingest (performance.md, P8).

Its JetStream client is loaded when somebody asks for it: doors publish with frames of our own and never do. aiohttp, which it takes where
it is installed, is for backbones behind WebSocket URLs, which no endpoint of ours has; the image `core` has none, but the Kubernetes
client brings it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

LATE = "nats.js"
LEFT_OUT = ("aiohttp", "multidict")


class _Lean:
    """Finds one module, as one that is loaded by the first use of a name of it, and doesn't find those that are left out."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is not for nats-py", name=name)
        spec = PathFinder.find_spec(name, path) if name == LATE else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_nats() -> None:
    """Import nats-py, which names its JetStream client in annotations that it doesn't evaluate, and in methods."""
    sys.meta_path.insert(0, _Lean)
    try:
        importlib.import_module("nats")
    finally:
        sys.meta_path.remove(_Lean)
