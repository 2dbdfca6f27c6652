"""Late modules: nothing of them runs before it is asked for, and nothing of them is missing after that."""

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions
from importlib.metadata import version as real_version
from pathlib import Path

import pytest

import shared.adapters.postgres
import shared.ports
from shared.lean_import import lean, names_of, version

RUNS = """
import time
import late_runs
late_runs.begun.append(__name__)
from late_package.part import part  # a module of its own, while it runs
time.sleep(0)  # another thread may come in here
name = "found"
"""


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What has run of `late_package`."""
    (tmp_path / "late_runs.py").write_text("begun = []")
    (tmp_path / "late_package").mkdir()
    (tmp_path / "late_package" / "__init__.py").write_text(RUNS)
    (tmp_path / "late_package" / "part.py").write_text("part = 1")
    (tmp_path / "late_package" / "broken.py").write_text("import late_runs\nlate_runs.begun.append(__name__)\n1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("late_runs").begun
    for name in ("late_runs", "late_package", "late_package.part", "late_package.broken"):
        sys.modules.pop(name, None)


def test_a_late_module_runs_once_when_it_is_asked_for_names(begun: list[str]) -> None:
    with lean(late=("late_package",)):
        found = importlib.import_module("late_package")
    assert begun == []
    assert (found.name, found.name, found.part) == ("found", "found", 1)
    assert begun == ["late_package"]
    assert sys.modules["late_package"] is found


def test_a_module_of_a_late_package_is_there_when_the_package_has_not_run(begun: list[str]) -> None:
    with lean(late=("late_package",)):
        part = importlib.import_module("late_package.part")
    assert part.part == 1
    assert begun == []


def test_a_late_module_has_no_other_names_than_its_own_when_it_is_asked(begun: list[str]) -> None:
    with lean(late=("late_package",)):
        found = importlib.import_module("late_package")
    with pytest.raises(AttributeError, match="'late_package' has no attribute 'other'"):
        _ = found.other
    assert not hasattr(found, "other")


def test_a_late_module_says_what_is_wrong_each_time_when_it_cannot_run(begun: list[str]) -> None:
    with lean(late=("late_package", "late_package.broken")):
        broken = importlib.import_module("late_package.broken")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ = broken.name
    assert begun == ["late_package.broken", "late_package.broken"]


def test_a_late_module_runs_once_when_many_threads_ask(begun: list[str]) -> None:
    with lean(late=("late_package",)):
        found = importlib.import_module("late_package")
    names: list[str] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(30)
        names.append(found.name)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert names == ["found"] * 8
    assert begun == ["late_package"]


def test_a_module_that_is_left_out_is_there_when_the_library_has_been_imported(begun: list[str]) -> None:
    with lean(left_out=("late_package",)), pytest.raises(ModuleNotFoundError):
        importlib.import_module("late_package")
    assert importlib.import_module("late_package").name == "found"


def test_a_version_is_the_one_that_importlib_says_when_it_is_installed() -> None:
    installed = {each.metadata["Name"] for each in distributions()}
    assert {"uvicorn", "psycopg-binary", "nats-py"} <= installed
    assert {name: version(name) for name in installed} == {name: real_version(name) for name in installed}
    with pytest.raises(PackageNotFoundError):
        version("no-such-distribution")


def test_libraries_are_whole_when_somebody_asks_for_what_was_late() -> None:
    asked = (
        "import functions.ingest.main, shared.adapters.nats, uvicorn, nats, logging.config, importlib.metadata as metadata\n"
        "assert callable(uvicorn.run) and callable(uvicorn.main) and uvicorn.Config\n"
        "assert nats.js.JetStreamContext and nats.aio.client.__version__ == metadata.version('nats-py')\n"
        "assert metadata.entry_points() and issubclass(metadata.PackageNotFoundError, ImportError)\n"
        "logging.config.dictConfig({'version': 1})"
    )
    subprocess.run([sys.executable, "-c", asked], cwd=Path(__file__).parents[2], check=True, timeout=60)


@pytest.mark.parametrize("package", [shared.ports, shared.adapters.postgres], ids=lambda package: package.__name__)
def test_a_package_has_all_its_names_when_they_are_asked_for(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert callable(getattr(package, name))
    with pytest.raises(AttributeError, match="has no attribute 'Other'"):
        _ = package.Other  # type: ignore[attr-defined]


def test_a_name_is_looked_for_once_when_it_was_found() -> None:
    find = names_of("shared.ports", {"log": ("LogQueue",)})
    vars(shared.ports).pop("LogQueue", None)
    assert find("LogQueue") is shared.ports.LogQueue
    assert "LogQueue" in vars(shared.ports)
