"""`python -m infra.render NAME...`: render clusters into build/<name>/, those of knative/clusters/ or, with a slash, any folder's."""

import sys

from infra.render.manifests import BUILD, folder_of, render, write
from shared.domain.errors import SwitchboardError


def main(clusters: list[str]) -> int:
    """Render each; the exit status."""
    for cluster in clusters:
        try:
            folder = folder_of(cluster)
            paths = write(render(folder.name, folder.parent), BUILD / folder.name)
        except SwitchboardError as error:
            print(f"render: {error.detail}", file=sys.stderr)
            return 1
        print(f"{len(paths)} objects in {(BUILD / folder.name).relative_to(BUILD.parent)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
