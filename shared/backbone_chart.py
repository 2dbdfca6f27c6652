"""The chart that backbones are installed from: what its values may be, read from its own files."""

import json
from functools import cache
from pathlib import Path

import yaml

from shared.domain.registry.spec import Chart, chart

FOLDER = Path(__file__).parents[1] / "charts" / "backbone"  # images have it at the same place beside shared/


@cache
def backbone_chart() -> Chart:
    """charts/backbone: its values.yaml and values.schema.json."""
    defaults = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
    return chart(defaults, json.loads((FOLDER / "values.schema.json").read_text(encoding="utf-8")))
