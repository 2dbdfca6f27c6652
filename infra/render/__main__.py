"""`python -m infra.render NAME...`: render clusters into build/<name>/."""

import sys

from infra.render.manifests import BUILD, render, write
from shared.domain.errors import SwitchboardError


def main(clusters: list[str]) -> int:
    """Render each; the exit status."""
    for cluster in clusters:
        try:
            paths = write(render(cluster), BUILD / cluster)
        except SwitchboardError as error:
            print(f"render: {error.detail}", file=sys.stderr)
            return 1
        print(f"{len(paths)} objects in {(BUILD / cluster).relative_to(BUILD.parent)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
