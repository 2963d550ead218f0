"""Floors under what any scheduler can do: clairvoyant, and exact in toys small enough.

``python -m agents.bounds --help``; what is bounded, and why, stands in docs/bounds.md.
"""

from __future__ import annotations

from agents.bounds.clairvoyant import ClairvoyantBound, clairvoyant_bound

__all__ = ["ClairvoyantBound", "clairvoyant_bound"]
