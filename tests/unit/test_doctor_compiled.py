"""`switchboard doctor` says whether what is in C is in use, and how to have it so."""

from types import ModuleType

import pytest

from infra.local import checks
from infra.local.checks import Finding, Subject, compiled
from shared import speedups
from shared.settings import Settings

NOBODY = Subject(Settings.from_env({}), {})


async def found(monkeypatch: pytest.MonkeyPatch, core: ModuleType | None, current: bool, switch: str | None = None) -> Finding:
    monkeypatch.setattr(speedups, "core", core)
    monkeypatch.setattr(checks, "is_current", lambda: current)
    if switch is None:
        monkeypatch.delenv("SWITCHBOARD_SPEEDUPS", raising=False)
    else:
        monkeypatch.setenv("SWITCHBOARD_SPEEDUPS", switch)
    return await compiled(NOBODY)


async def test_all_is_well_when_the_compiled_module_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await found(monkeypatch, ModuleType("core"), True) == Finding("ok", "shared/speedups")


async def test_compiler_is_asked_for_when_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = await found(monkeypatch, None, False)
    assert (finding.status, finding.found) == ("warning", "not there: Python alone, at about two thirds of the speed")
    assert "C compiler" in finding.remedy
    assert "make setup" in finding.remedy


async def test_variable_is_named_when_it_turned_the_module_off(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = await found(monkeypatch, None, True, "off")
    assert (finding.status, finding.found) == ("warning", "off: Python alone, at about two thirds of the speed")
    assert finding.remedy == "unset SWITCHBOARD_SPEEDUPS"


async def test_loaders_words_are_shown_when_the_module_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> ModuleType:
        raise ImportError(f"{name}: version `GLIBC_9.9' not found")

    monkeypatch.setattr("importlib.import_module", refuse)
    finding = await found(monkeypatch, None, True)
    assert finding.status == "warning"
    assert "GLIBC_9.9" in finding.found
    assert "Python alone" in finding.found
