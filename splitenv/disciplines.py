"""The dispatch disciplines by name and number; what each does stands in docs/physics.md."""

SLACK, WINDOW, PREFERRED, DEFERRED, EDF_DROP, WINDOW_DROP, FITTED, AIMD = range(8)
DISCIPLINES = {
    "slack": SLACK,
    "window": WINDOW,
    "preferred": PREFERRED,
    "deferred": DEFERRED,
    "edf-drop": EDF_DROP,
    "window-drop": WINDOW_DROP,
    "fitted": FITTED,
    "aimd": AIMD,
}
FIRST_COME = ("window", "preferred", "fitted", "aimd")
"""Those whose queues are in the order of becoming ready; the others look at D."""

HOLDING = ("slack",)
"""Those under which the hold of a decision counts; the others wait by their own rule."""

BACKOFF = 0.9
"""What ``aimd`` leaves of its largest batch after one that took too long."""

NEVER = 1e300
"""Later than anything."""
EARLY = 1e-9
"""Seconds by which a launch precedes the end of a slack, so that it does not fail by rounding."""
