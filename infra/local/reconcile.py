"""The reconciler of `switchboard up`: that of a cluster, and the provider `local` beside. `python -m infra.local.reconcile`."""

import sys

from functions.reconcile_backbones.main import Providers, build
from infra.local.backbone_servers import LocalBackbones
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.server import run
from shared.resources import Resources


def with_local(resources: Resources) -> ASGIApp:
    """The pod's app, with servers of this machine as one more way to have backbones."""
    settings = resources.settings
    folder = settings.state_dir / "backbones"

    def local() -> LocalBackbones:
        return LocalBackbones(folder, settings.backbone_credentials or folder / "credentials")

    return build(resources, Providers(local=local))


if __name__ == "__main__":
    sys.exit(run(Edge("reconcile-backbones", with_local)))
