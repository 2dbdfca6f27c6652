"""The codec is whole without anything in C, as on a machine that can't build it: its tests run again, in a process where that is off."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Those of the codec, of the flush and of the way to NATS; the run of tests that this one is in is no business of that process.
OF_CODEC = ("test_codec_*.py", "test_flush.py", "test_nats_binding.py", "test_nats_publishing.py", "test_message_identity.py")


def test_codec_s_tests_pass_when_speedups_are_off(tmp_path: Path) -> None:
    files = [str(path) for pattern in OF_CODEC for path in sorted(HERE.glob(pattern))]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", *files]
    ran = subprocess.run(
        command, env=kept | {"SWITCHBOARD_SPEEDUPS": "off"}, cwd=HERE.parents[1], capture_output=True, text=True, timeout=900, check=False
    )
    assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-2_000:]
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


def test_there_is_no_module_in_c_when_speedups_are_off() -> None:
    said = "from shared.speedups import core; import shared.codec, shared.adapters.nats.frames; print(core)"
    command = [sys.executable, "-c", said]
    ran = subprocess.run(
        command,
        env=os.environ | {"SWITCHBOARD_SPEEDUPS": "off"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout == "None\n"
