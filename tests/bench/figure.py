"""One line of the bench's table: the median of its runs, the gate it must reach, and what else was measured."""

from statistics import median
from typing import Any

import msgspec


class Figure(msgspec.Struct):
    """`below`: smaller is better. `notes` are other series of the same runs."""

    name: str
    unit: str
    runs: list[float]
    gate: float
    goal: float | None = None
    notes: dict[str, list[float]] = {}
    below: bool = False

    @property
    def value(self) -> float:
        return median(self.runs)

    @property
    def holds(self) -> bool:
        return self.value <= self.gate if self.below else self.value >= self.gate

    def as_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "goal": self.goal,
            "gate": self.gate,
            "unit": self.unit,
            "runs": self.runs,
            "holds": self.holds,
            "notes": self.notes,
        }
