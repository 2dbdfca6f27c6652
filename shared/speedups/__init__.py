"""The usual message in C, where it was built (infra/speedups/build.py): `core` is the module, or None, and then Python does it all.

Whoever uses it asks it first and takes Python's way where it answers None. `SWITCHBOARD_SPEEDUPS=off` turns it off.
"""

import os
from types import ModuleType

from shared.built import is_current

core: ModuleType | None = None
if os.environ.get("SWITCHBOARD_SPEEDUPS") != "off" and is_current():
    try:
        from shared.speedups import _core

        core = _core
    except ImportError:  # not for this machine, or hashlib has no OpenSSL that it can use
        pass
