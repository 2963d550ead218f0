"""Compare what a scheduler in production sees with what its policy saw in simulation.

    python -m benchmarks.skew --bundle bundles/x --decisions 100000

Simulates episodes under the bundle's policy, replays their events through ``observe`` and
``decide``, and compares observations byte for byte, and actions. Exits with 1 if anything differs
that is not a near tie between the two best logits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agents.replay import NEAR_TIE, measure_skew


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skew", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--decisions", type=int, default=100_000)
    options = parser.parse_args()
    try:
        skew = measure_skew(options.bundle, options.decisions)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"decisions             {skew.decisions:>9,}")
    print(f"observations equal    {skew.observations:>9,}")
    print(f"actions equal         {skew.actions:>9,}")
    print(f"near ties ({NEAR_TIE:g})     {skew.near_ties:>9,}")
    for kind, count in skew.anomalies.items():
        print(f"anomaly: {kind}: {count:,}")
    sys.exit(0 if skew.equal else 1)


if __name__ == "__main__":
    main()
