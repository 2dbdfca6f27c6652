"""`make fuzz`: each target for five minutes; ARGS="--seconds 30 --only http-batch" for less. Ends with 1 where one was broken.

What breaks a target is shown as small as hypothesis finds it: put it into REGRESSIONS of tests/unit/test_fuzz.py.
"""

import argparse
import logging
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fuzz.targets import TARGETS, Target

ROUND = 500  # inputs between two looks at the clock
SECONDS = 300.0
FOUND = "build/fuzz"  # what broke a target, tried first the next time


def fuzz(name: str, target: Target, seconds: float) -> bool:
    """Whether the target held for so long."""
    bounds = settings(
        max_examples=ROUND,
        deadline=None,
        database=DirectoryBasedExampleDatabase(FOUND),
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.target, Phase.shrink),
    )
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:

        @seed(time.time_ns())
        @bounds
        @given(target.inputs)
        def hold(one: object) -> None:
            target.run(one)

        try:
            hold()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            print(f"{name}: BROKEN", file=sys.stderr)
            traceback.print_exc()
            return False
        rounds += 1
    print(f"{name}: held for {rounds * ROUND:,} inputs in {seconds:g} s")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each target")
    parser.add_argument("--only", default=",".join(TARGETS), help="targets, with commas between")
    wanted = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what a decoder says of each input
    names = [name.strip() for name in wanted.only.split(",")]
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    held = [fuzz(name, TARGETS[name], wanted.seconds) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
