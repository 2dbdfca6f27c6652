"""Compiling the C in shared/speedups: where it can be, it is, and anew when anything changed; where not, that is said and all goes on."""

import errno
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from ctypes import CDLL
from pathlib import Path

import pytest

from infra.speedups import build
from infra.speedups.build import compile_command
from shared import built, speedups

ROOT = Path(__file__).parents[2]
MISSING = compile_command() if isinstance(compile_command(), str) else None
compiles = pytest.mark.skipif(MISSING is not None, reason=f"no {MISSING} on this machine")
SMALL = """#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&definition); }
"""
WITHIN = 120  # seconds for a compiler, while others work


class Tree:
    """A checkout in little, with a small source: what is needed to compile, and to ask for what was compiled."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "shared" / "speedups"
        self.source = self.folder / "core.c"
        for path in (
            "infra/__init__.py",
            "infra/speedups",
            "infra/local/setup",
            "shared/__init__.py",
            "shared/built.py",
            "shared/speedups",
        ):
            self._copy(path)
        for file in self.folder.glob("*.[ch]"):
            file.unlink()
        self.source.write_text(SMALL)

    @property
    def module(self) -> Path:
        (found,) = self.modules()
        return found

    def modules(self) -> list[Path]:
        """All that is there beside what was there before."""
        return [path for path in self.folder.iterdir() if path.name.startswith("_core.") and path.suffix != ".pyi"]

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """`python` in that tree."""
        told = {name: value for name, value in os.environ.items() if name not in ("CC", "SWITCHBOARD_SPEEDUPS", "PYTHONPATH")}
        command, told = [sys.executable, *arguments], told | environment
        return subprocess.run(command, cwd=self.root, env=told, capture_output=True, text=True, check=False, timeout=WITHIN)

    def build(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self.run("-m", "infra.speedups.build", *arguments, **environment)

    def loads(self, **environment: str) -> str:
        """The file of what a process of that tree loads; empty where it runs on Python alone."""
        asked = "from shared import speedups; print(speedups.core.__file__ if speedups.core else '', end='')"
        done = self.run("-c", asked, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _copy(self, path: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, self.root / path, ignore=shutil.ignore_patterns("__pycache__", "_core.*.so"))
        else:
            shutil.copy(ROOT / path, self.root / path)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path.resolve())


@pytest.fixture
def no_programs(tmp_path: Path) -> dict[str, str]:
    """A PATH with nothing in it."""
    (tmp_path / "empty").mkdir()
    return {"PATH": str(tmp_path / "empty")}


@compiles
@pytest.mark.skipif(os.environ.get("SWITCHBOARD_SPEEDUPS") == "off", reason="SWITCHBOARD_SPEEDUPS=off")
def test_tests_are_of_the_compiled_module_when_it_can_be_compiled() -> None:
    """Otherwise a run would be of Python alone, and nobody would notice."""
    assert speedups.core is not None, "run `make setup`"


@compiles
def test_module_is_compiled_and_loaded_when_there_is_a_compiler(tree: Tree) -> None:
    done = tree.build()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert tree.loads() == str(tree.module)
    assert tree.loads(SWITCHBOARD_SPEEDUPS="off") == ""


@compiles
@pytest.mark.skipif(sys.platform == "darwin", reason="its linker has another word for it")
def test_module_is_loaded_when_its_linker_leaves_out_what_nobody_asks_for(tree: Tree) -> None:
    """So does clang as zig brings it: the module was compiled, without a word of what source it is, and never loaded."""
    done = tree.build(CC="cc -fdata-sections -Wl,--gc-sections")
    assert (done.returncode, done.stderr) == (0, "")
    assert tree.loads() == str(tree.module)


@compiles
def test_nothing_is_compiled_again_when_nothing_changed(tree: Tree) -> None:
    tree.build()
    before = tree.module.stat()
    done = tree.build()
    assert (done.returncode, done.stderr) == (0, "")
    assert (tree.module.stat().st_ino, tree.module.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@compiles
def test_module_of_other_source_is_not_loaded_and_compiled_anew_when_the_source_changed(tree: Tree) -> None:
    tree.build()
    with tree.module.open("rb") as loaded:  # as by a process that runs
        before = loaded.read()
        tree.source.write_text(f"{SMALL}/* changed */\n")
        assert tree.loads() == ""
        tree.build()
        assert tree.loads() == str(tree.module)
        loaded.seek(0)
        assert loaded.read() == before != tree.module.read_bytes()


@compiles
def test_module_of_several_files_is_compiled_anew_when_one_of_them_changed(tree: Tree) -> None:
    header, other, renamed = (tree.folder / name for name in ("answer.h", "answer.c", "answers.c"))
    tree.source.write_text('#include "answer.h"\n' + SMALL.replace("&definition)", "answer() ? &definition : NULL)"))
    header.write_text("int answer(void);\n")
    other.write_text('#include "answer.h"\nint answer(void) { return 42; }\n')
    changes: list[Callable[[], object]] = [
        lambda: header.write_text("int answer(void); /* changed */\n"),
        lambda: other.write_text('#include "answer.h"\nint answer(void) { return 43; }\n'),
        lambda: other.rename(renamed),
    ]
    assert tree.build().stderr == ""
    for change in changes:
        assert tree.loads() == str(tree.module)
        change()
        assert tree.loads() == ""
        assert tree.build().stderr == ""
    assert tree.loads() == str(tree.module)


@compiles
def test_nothing_but_what_python_asks_for_is_to_be_seen_when_the_module_is_loaded() -> None:
    """A name that is seen could be taken for another library's, and the other way round."""
    library = CDLL(str(built.MODULE))
    assert hasattr(library, "PyInit__core")
    declared = "".join(path.read_text() for path in built.sources() if path.suffix == ".h")
    functions = set(re.findall(r"^\w+ \*?(\w+)\(.*\);$", declared, re.MULTILINE))
    assert {"messages", "frames", "receipts", "shape_of", "message_id", "is_usual_time"} <= functions
    assert [name for name in functions if hasattr(library, name)] == []


@compiles
def test_module_is_compiled_anew_when_the_compiler_is_another(tree: Tree) -> None:
    tree.build()
    before = tree.module.read_bytes()
    tree.build(CC="cc -DOTHER")
    assert tree.module.read_bytes() != before
    assert tree.loads() == str(tree.module)


def test_python_alone_is_said_when_there_is_no_compiler(tree: Tree, no_programs: dict[str, str]) -> None:
    done = tree.build(**no_programs)
    assert (done.returncode, done.stdout, tree.modules(), tree.loads()) == (0, "", [], "")
    assert done.stderr.startswith("setup: no C compiler: Switchboard runs on Python alone, at about two thirds of the speed")
    assert len(done.stderr.splitlines()) == 1
    assert tree.build("--check", **no_programs).returncode == 0


@compiles
def test_nothing_is_said_when_the_compiler_is_gone_and_what_it_made_is_there(tree: Tree, no_programs: dict[str, str]) -> None:
    tree.build()
    assert tree.build(**no_programs).stderr == ""
    assert tree.loads() == str(tree.module)


def test_python_alone_is_said_when_python_has_no_headers(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(built, "FOLDER", tree.folder)  # of which nothing is compiled
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tree.root))
    monkeypatch.setattr(build, "_compiler", lambda: ["cc"])
    assert build.main([]) == 0
    assert capfd.readouterr().err.startswith("setup: no Python.h: Switchboard runs on Python alone")


@compiles
@pytest.mark.parametrize("source", ["#error not today\n", f"{SMALL}int half(\n"], ids=["refused", "half a file"])
def test_compilers_words_are_shown_and_nothing_is_loaded_when_it_fails(tree: Tree, source: str) -> None:
    tree.build()
    tree.source.write_text(source)
    done = tree.build()
    assert done.returncode == 0
    assert "could not be compiled: Switchboard runs on Python alone" in done.stderr
    assert "error:" in done.stderr
    assert len(tree.modules()) == 1, "nothing half made is left"
    assert tree.loads() == ""


@compiles
def test_check_fails_and_writes_nothing_when_the_compiler_warns(tree: Tree) -> None:
    tree.source.write_text(f"{SMALL}static int unused(void) {{ return 1; }}\n")
    done = tree.build("--check")
    assert (done.returncode, tree.modules()) == (1, [])
    assert "unused" in done.stderr
    assert tree.build().returncode == 0, "a user's compiler may warn of what it likes"
    assert tree.loads() == str(tree.module)


@compiles
def test_python_alone_is_said_when_the_tree_is_read_only(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(**named: object) -> None:  # root, as which tests may run, may write anywhere but there
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(named["dir"]))

    monkeypatch.setattr(built, "FOLDER", tree.folder)
    monkeypatch.setattr(build, "TemporaryDirectory", refuse)
    assert build.main([]) == 0
    said = capfd.readouterr().err
    assert "Switchboard runs on Python alone" in said
    assert f"{tree.folder}: {os.strerror(errno.EROFS)}" in said


@compiles
def test_module_is_whole_when_two_compile_it_at_once(tree: Tree) -> None:
    command = [sys.executable, "-m", "infra.speedups.build"]
    both = [subprocess.Popen(command, cwd=tree.root) for _ in range(2)]
    assert [one.wait(WITHIN) for one in both] == [0, 0]
    assert tree.loads() == str(tree.module)


@compiles
@pytest.mark.parametrize("kind", ["run", "dev"])
def test_setup_compiles_when_the_source_alone_changed(tree: Tree, kind: str) -> None:
    python = tree.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    for name in ("requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tree.root / name)
    mark = "cat requirements-dev.lock pyproject.toml | cksum >.venv/.installed-dev; pwd -P >>.venv/.installed-dev"
    subprocess.run(["bash", "-c", mark], cwd=tree.root, check=True)
    for source in (SMALL, f"{SMALL}/* changed */\n"):
        tree.source.write_text(source)
        done = subprocess.run([tree.root / "infra/local/setup", kind], capture_output=True, text=True, check=False, timeout=WITHIN)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert tree.loads() == str(tree.module)
