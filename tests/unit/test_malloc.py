"""What glibc's malloc is told is the same wherever our processes run."""

from pathlib import Path

from infra.local.processes import MALLOC

DOCKERFILE = Path(__file__).parents[2] / "infra" / "images" / "Dockerfile"


def test_image_says_to_malloc_what_switchboard_up_does() -> None:
    told = dict(line.strip().rstrip(" \\").split("=") for line in DOCKERFILE.read_text().splitlines() if "MALLOC_" in line and "=" in line)
    assert told == MALLOC
