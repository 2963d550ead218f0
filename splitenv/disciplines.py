"""The dispatch disciplines by name and number; what each does stands in docs/physics.md."""

SLACK, WINDOW, PREFERRED, DEFERRED, EDF_DROP, WINDOW_DROP = range(6)
DISCIPLINES = {
    "slack": SLACK,
    "window": WINDOW,
    "preferred": PREFERRED,
    "deferred": DEFERRED,
    "edf-drop": EDF_DROP,
    "window-drop": WINDOW_DROP,
}

NEVER = 1e300
"""Later than anything."""
EARLY = 1e-9
"""Seconds by which a launch precedes the end of a slack, so that it does not fail by rounding."""
