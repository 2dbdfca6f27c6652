"""The usual message in C, where it was built (infra/local/setup): `core` is the module, or None, and then Python does it all.

Whoever uses it asks it first and takes Python's way where it answers None. `SWITCHBOARD_SPEEDUPS=off` turns it off.
"""

import os
from types import ModuleType

core: ModuleType | None = None
if os.environ.get("SWITCHBOARD_SPEEDUPS") != "off":
    try:
        from shared.speedups import _core

        core = _core
    except ImportError:  # not built here, or hashlib has no OpenSSL that it can use
        pass
