"""Importing a library without what our processes don't use of it: a tenth of a start was that (performance.md, P8).

Where a library names a module that is `late`, that is there, and empty: it runs when somebody asks it for a name, which it then has. So
nothing is missing, whoever asks. A module that is left out isn't there, for this library alone.
"""

import importlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from os import listdir
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from importlib.abc import Loader

METADATA = "importlib.metadata"
_DIST_INFO = ".dist-info"

_state = WeakKeyDictionary[ModuleType, "_State"]()  # not in the modules, whose names are their own


class _State:
    """Of a late module: one thread runs it, which may ask it for names meanwhile; others wait."""

    def __init__(self) -> None:
        self.lock, self.runs = RLock(), False


class _Late(ModuleType):
    """A module that runs when it is asked for a name that it doesn't have."""

    def __getattr__(self, name: str) -> Any:
        state = _state.get(self)
        if state is not None:
            with state.lock:
                if self in _state and not state.runs:
                    self._run(state)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self) from None

    def _run(self, state: _State) -> None:
        state.runs = True
        try:
            self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]  # _LateLoader gave it one
        finally:
            state.runs = False
        del _state[self]
        self.__class__ = ModuleType  # type: ignore[assignment]


class _LateLoader:
    """Makes a module of a late one's loader; `names` are there before it runs."""

    def __init__(self, loader: "Loader", names: Mapping[str, Any]) -> None:
        self._loader, self._names = loader, names

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Late(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self._loader  # type: ignore[union-attr]  # the import system set it
        module.__dict__.update(self._names)
        _state[module] = _State()


class _Finder:
    """Finds late modules, and doesn't find those that are left out."""

    def __init__(self, late: Mapping[str, Mapping[str, Any]], left_out: Collection[str]) -> None:
        self._late, self._left_out = late, left_out

    def find_spec(self, name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        if name in self._left_out:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)
        spec = PathFinder.find_spec(name, path) if name in self._late else None
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader, self._late[name])  # type: ignore[assignment]  # it does what a Loader does
        return spec


@contextmanager
def lean(late: Collection[str] = (), left_out: Collection[str] = ()) -> Iterator[None]:
    """What is imported inside finds these modules late, or not at all. What is there already stays as it is.

    importlib.metadata is late for all: libraries ask it for their own version, which is in the name of a folder.
    """
    finder = _Finder({**{name: {} for name in late}, METADATA: {"version": version}}, left_out)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def names_of(package: str, modules: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are of its modules, which are imported when they are asked for (PEP 562)."""
    homes = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return find


def version(distribution: str) -> str:
    """An installed distribution's version, as importlib.metadata says, without loading that where a folder's name says it."""
    start = distribution.replace("-", "_").replace(".", "_").lower() + "-"
    for folder in sys.path:
        try:
            names = listdir(folder or ".")
        except OSError:  # a zip, or nothing
            continue
        for name in names:
            if name.endswith(_DIST_INFO) and name.lower().startswith(start):
                return name[len(start) : -len(_DIST_INFO)]
    found: str = importlib.import_module(METADATA).distribution(distribution).version  # a late one runs with this
    return found
