"""``python -m splitenv``."""

from __future__ import annotations

from splitenv.cli import main

main()
