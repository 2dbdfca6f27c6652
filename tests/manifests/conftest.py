"""Every cluster of knative/clusters, rendered once."""

from typing import Any

import pytest

from infra.render.manifests import names, render

Objects = list[dict[str, Any]]


@pytest.fixture(scope="session")
def rendered() -> dict[str, Objects]:
    """The objects by cluster."""
    return {cluster: render(cluster) for cluster in names()}
