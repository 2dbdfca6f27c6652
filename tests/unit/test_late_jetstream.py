"""nats-py's JetStream client is loaded by who asks for it, and only then. In an interpreter of its own: here it is loaded."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


CONNECTION = "import shared.adapters.nats.connection"
LOADED = "import sys; loaded = lambda: 'nats.js.client' in sys.modules"


def test_jetstream_is_not_loaded_when_a_door_connects() -> None:
    assert printed(f"{LOADED}\nimport shared.adapters.nats.backbones; print(loaded())") == "False"


def test_jetstream_is_there_when_it_is_asked_for() -> None:
    asked = f"{LOADED}\nfrom shared.adapters.nats.connection import Client\nprint(type(Client().jetstream()).__name__, loaded())"
    assert printed(asked) == "JetStreamContext True"


def test_its_parts_are_there_when_a_module_imports_them() -> None:
    assert printed(f"{CONNECTION}\nfrom nats.js.api import AckPolicy; print(AckPolicy.EXPLICIT.value)") == "explicit"


def test_nothing_else_is_put_off_afterwards() -> None:
    assert printed(f"import sys\nbefore = list(sys.meta_path)\n{CONNECTION}\nprint(sys.meta_path == before)") == "True"
