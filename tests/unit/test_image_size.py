"""What the image `core` has beyond its base: no more than infra/images/limit allows, which its Dockerfile runs, and no compiler."""

import subprocess
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "infra" / "images"
MB = 1_000_000


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """One of 1 MB, and one of 2."""
    for name, size in (("venv", MB - 10_000), ("app", 2 * MB - 30_000)):  # a folder itself counts a little
        (tmp_path / name / "deep").mkdir(parents=True)
        with (tmp_path / name / "deep" / "file").open("wb") as file:
            file.truncate(size)
    return [tmp_path / "venv", tmp_path / "app"]


def limited(limit: int, folders: list[Path]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([IMAGES / "limit", str(limit), *folders], capture_output=True, text=True, check=False)


def test_build_goes_on_when_folders_are_within_the_limit(folders: list[Path]) -> None:
    done = limited(3, folders)
    assert (done.returncode, done.stderr) == (0, "")
    assert "take 3 MB of 3" in done.stdout


def test_build_ends_and_the_largest_are_named_when_folders_are_over_the_limit(folders: list[Path]) -> None:
    done = limited(2, folders)
    assert done.returncode == 1
    assert "are 3 MB, and may be 2" in done.stderr
    assert str(folders[1] / "deep") in done.stderr


def test_build_ends_when_a_folder_is_missing(folders: list[Path]) -> None:
    assert limited(9, [*folders, folders[0] / "none"]).returncode != 0


def test_core_is_bounded_by_all_that_it_copies_when_it_is_built() -> None:
    lines = (IMAGES / "Dockerfile").read_text().splitlines()
    core = lines[lines.index("FROM ${BASE} AS runtime") : lines.index("FROM ${HELM} AS helm")]  # from its base on
    assert [line for line in core if line.startswith("FROM ")] == ["FROM ${BASE} AS runtime", "FROM runtime AS core"]
    copied = [line.split()[-1] for line in core if line.startswith("COPY ")]
    assert len(copied) == 2
    assert f"RUN /app/infra/images/limit 250 {' '.join(copied)}" in lines


def test_an_image_has_the_compiled_module_alone_when_a_builder_made_it() -> None:
    lines = (IMAGES / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if "compiled" in line and not line.startswith(("#", "RUN"))] == [
        "FROM ${BUILDER} AS compiled",
        "COPY --from=compiled /compiled /app/shared/speedups",
    ]
    assert "**/*.so" in (IMAGES.parents[1] / ".dockerignore").read_text().splitlines(), "what this machine compiled isn't for an image"
