"""Why a policy decides as it does: maps, the features that matter, and the plainest tree.

``python -m agents.explain BUNDLE``; docs/explain.md says what it shows and how it is computed.
"""
