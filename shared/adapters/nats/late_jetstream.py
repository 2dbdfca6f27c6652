"""nats-py without its JetStream client, until somebody asks for it: importing that is more than half of importing nats-py, and a tenth of a
start of ingest (performance.md, P8). Doors publish with frames of our own and never ask."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

JETSTREAM = "nats.js"


class _Late:
    """Finds one module, as one that is loaded by the first use of a name of it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == JETSTREAM else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_nats() -> None:
    """Import nats-py, which names its JetStream client in annotations that it doesn't evaluate, and in methods."""
    sys.meta_path.insert(0, _Late)
    try:
        importlib.import_module("nats")
    finally:
        sys.meta_path.remove(_Late)
