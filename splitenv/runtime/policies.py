"""What decides inside the runtime: an ONNX graph, or a rule found by its name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from splitenv.context import Context

GROUP = "splitenv.policies"
"""The entry-point group in which rules are found: ``name = "module:Class"``."""

Observations = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]
Actions = npt.NDArray[np.int64]


class BundleError(ValueError):
    """A bundle that cannot be read, trusted or written; the message is one sentence."""


class Decider(Protocol):
    """Whatever maps a batch of observations and masks to actions."""

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide one pending request per row, shape (N,)."""


class GraphPolicy:
    """A learned policy: inputs ``observation`` and ``mask``, outputs ``action`` and ``logits``.

    Parameters
    ----------
    graph
        The serialised ONNX model.
    knob
        Where its knob stands, if it has one: a third input, ``knob``.

    Raises
    ------
    BundleError
        If the graph cannot be loaded, or has other inputs or outputs.
    """

    def __init__(self, graph: bytes, knob: float | None = None) -> None:
        # Not at the top: a rule is decided without onnxruntime, whose import takes a while.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise BundleError(f"policy.onnx cannot be loaded: {reason}") from error
        inputs = {entry.name for entry in self._session.get_inputs()}
        outputs = {entry.name for entry in self._session.get_outputs()}
        self._others = {} if knob is None else {"knob": np.array([knob], np.float32)}
        expected = {"observation", "mask", *self._others}
        if inputs != expected or outputs != {"action", "logits"}:
            raise BundleError(
                f"policy.onnx has inputs {sorted(inputs)} and outputs {sorted(outputs)}; expected "
                f"{', '.join(sorted(expected))} and action, logits"
            )

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide one pending request per row, shape (N,)."""
        inputs = {"observation": observations, "mask": masks, **self._others}
        return np.asarray(self._session.run(["action"], inputs)[0], np.int64)

    def logits(self, observations: Observations, masks: Masks) -> npt.NDArray[np.float32]:
        """Masked logits of every action, shape (N, A)."""
        inputs = {"observation": observations, "mask": masks, **self._others}
        return np.asarray(self._session.run(["logits"], inputs)[0], np.float32)


def load_rule(name: str, parameters: dict[str, float], context: Context) -> Any:
    """Make the rule of that name, bound to a scenario's tables.

    Raises
    ------
    BundleError
        If no installed package offers it, or it does not take the parameters.
    """
    offered = entry_points(group=GROUP)
    found = [entry for entry in offered if entry.name == name]
    if not found:
        names = ", ".join(sorted(entry.name for entry in offered)) or "none"
        raise BundleError(
            f"no installed package offers the rule {name!r} under the entry points {GROUP}; "
            f"offered: {names}"
        )
    try:
        rule = found[0].load()(**parameters)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise BundleError(f"the rule {name!r} cannot be made: {error}") from error
    rule.bind(context)
    return rule
