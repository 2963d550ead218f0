"""Stepping allocates nothing: all arrays are made with the simulator."""

import tracemalloc

import numba
import numpy as np
import pytest

from splitenv.compilation import _jit
from splitenv.kernel import compiled
from splitenv.scenario import load_scenario
from splitenv.simulator import Simulator

STEPS = 1000


def test_no_compiled_function_has_a_runtime_to_allocate_with():
    options = {name: twin.targetoptions["_nrt"] for name, twin in vars(compiled).items()}
    assert len(options) > 100
    assert not any(options.values())


def test_without_that_runtime_an_array_cannot_be_made():
    with pytest.raises(
        numba.core.errors.TypingError, match=r"No implementation of function.*zeros"
    ):
        _jit(lambda: np.zeros(3)[0])()


@pytest.mark.parametrize("serving", ["batch", "continuous"])
def test_a_thousand_steps_leave_python_s_memory_as_it_was(serving):
    # Some episodes end meanwhile, and the next ones start.
    scenario = load_scenario("sd-mobile", {"serving": serving, "decisions": 300})
    simulator = Simulator(scenario, 8)
    simulator.seed(range(8))
    simulator.reset()
    actions = np.random.default_rng(0).integers(0, simulator.actions, (STEPS, 8))
    simulator.step(actions[0])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for each in actions:
            simulator.step(each)
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert simulator.truth.world["episode"].min() > 3
    # A view of the actions, a number or two: nothing that grows with steps or environments.
    assert after - before < 1024
    assert most - before < 4096
