"""One line of the bench's table: the median of its runs, the gate it must reach, and what else was measured."""

from statistics import median
from typing import Any

import msgspec


class Figure(msgspec.Struct):
    """`below`: smaller is better. `notes` are other series of the same runs. `scaled` are the runs of an absolute figure as the design's
    machine would have had them (core_second.py)."""

    name: str
    unit: str
    runs: list[float]
    gate: float
    goal: float | None = None
    notes: dict[str, list[float]] = {}
    below: bool = False
    scaled: list[float] = []

    @property
    def value(self) -> float:
        return median(self.runs)

    @property
    def holds(self) -> bool:
        """As measured here."""
        return self._reaches(self.value)

    @property
    def scaled_holds(self) -> bool | None:
        """None where nothing is scaled: the figure has its reference in itself."""
        return self._reaches(median(self.scaled)) if self.scaled else None

    @property
    def verdict(self) -> str:
        """Which of the two holds, in words."""
        if self.scaled_holds is None:
            return _said(self.holds)
        return f"raw {_said(self.holds)}, scaled {_said(self.scaled_holds)} ({median(self.scaled):,.0f})"

    @property
    def series(self) -> dict[str, list[float]]:
        """All that is printed below the figure's own line."""
        return {**self.notes, "scaled": self.scaled} if self.scaled else self.notes

    def as_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "goal": self.goal,
            "gate": self.gate,
            "unit": self.unit,
            "runs": self.runs,
            "holds": self.holds,
            "scaled_holds": self.scaled_holds,
            "notes": self.series,
        }

    def _reaches(self, value: float) -> bool:
        return value <= self.gate if self.below else value >= self.gate


def _said(holds: bool) -> str:
    return "holds" if holds else "FALLS SHORT"
