"""What a machine may lack: a visible, counted skip on a laptop; a failure where CI=true, so that CI never proves less than it says."""

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)
