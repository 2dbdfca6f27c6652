"""README's "Deploy to a cluster", as it stands there: the suite runs those very commands, and what they promise comes true."""

import re
import shlex

from tests.cluster.conftest import Took
from tests.cluster.install import DEPLOY, DOCTOR, DRY_RUN, ROOT, UNDEPLOY, Install, run

SECTION = re.compile(r"^## Deploy to a cluster\n(.*?)^## ", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def blocks() -> list[str]:
    """The section's shell blocks."""
    section = SECTION.search((ROOT / "README.md").read_text())
    assert section is not None
    return BLOCK.findall(section.group(1))


def test_commands_of_the_tests_are_those_of_the_readme() -> None:
    said = [tuple(shlex.split(line, comments=True)) for line in blocks()[0].splitlines()]
    assert [command[1:] for command in said if command[0] == ".venv/bin/switchboard"] == [DRY_RUN, DEPLOY, DOCTOR, UNDEPLOY]
    assert ("make", "test-cluster") in said


def test_event_is_taken_when_it_is_sent_as_the_readme_says(inline: Install) -> None:
    (commands,) = [block for block in blocks() if "switchboard send" in block]
    done = run("bash", "-euo", "pipefail", "-c", f"cd {shlex.quote(str(ROOT))}\n{commands}")
    assert done.status == 0, done.said
    assert "accepted" in done.out


def test_doctor_finds_nothing_wrong_when_it_is_deployed(inline: Install, took: Took) -> None:
    done = run(*inline.command(DOCTOR))
    took("doctor", f"{done.seconds:.1f} s")
    assert done.status == 0, done.out + done.said
    assert "failed" not in done.out
    assert re.search(r"compiled module\W+ok\W", done.out), f"the image runs on Python alone: {done.out}"
