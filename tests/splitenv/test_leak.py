"""The scheduler sees neither the future nor what only the world knows.

Two worlds are run that differ in something hidden. Whatever a scheduler is told, it is told by an
event: an arrival with its report, a request that becomes ready, a batch that starts. Until the
first event in which the worlds differ, all observations have to be the same, byte for byte.
Completions on devices are no event: nobody reports them.
"""

import numpy as np
import pytest

from splitenv.scenario import load_scenario
from splitenv.settings import build_settings
from splitenv.simulator import NO_RESET, Simulator
from splitenv.tables import build_tables

REPORTED = ("arrival", "deadline", "client", "device", "model", "sla", "uplink", "downlink", "rtt")
DECISIONS = 400
LOADS = {"sd-mobile": 0.8, "regnet-camera": 60.0}


class Run:
    """An episode under fixed actions: observations, arrivals and records."""

    def __init__(self, scenario, settings, each_step=None, seed=0):
        self.simulator = Simulator(scenario, 1, settings=settings, record=True)
        self.simulator.seed([seed])
        self.simulator.reset()
        clock = self.simulator.belief.clock
        self.observations = [self.simulator.observation.tobytes()]
        self.arrivals = [clock["arrival"][0]]
        draws = np.random.default_rng(1).integers(0, self.simulator.actions, scenario.decisions)
        for step, action in enumerate(draws):
            if each_step is not None:
                each_step(self.simulator, step)
            self.simulator.step(np.array([action]), NO_RESET)
            self.observations.append(self.simulator.observation.tobytes())
            self.arrivals.append(clock["arrival"][0])
        self.record = self.simulator.record[0].copy()


def revealed_at(one, other):
    """Time of the first event that differs between two runs; infinite if there is none."""
    told = np.zeros(len(one.record), bool)
    for name in REPORTED:
        told |= one.record[name] != other.record[name]
    times = [np.minimum(one.record["arrival"], other.record["arrival"])[told]]
    for name in ("ready", "start"):
        mine, theirs = one.record[name], other.record[name]
        differ = (mine != theirs) & ~(np.isnan(mine) & np.isnan(theirs))
        times.append(np.fmin(mine, theirs)[differ])
    return min(np.concatenate(times), default=np.inf)


def assert_no_leak(one, other):
    """Compare up to the revealing event; return how many observations were compared."""
    reveal = revealed_at(one, other)
    arrivals = zip(one.arrivals, other.arrivals, strict=True)
    hidden = sum(max(pair) < reveal for pair in arrivals)
    assert one.observations[:hidden] == other.observations[:hidden]
    return hidden


def scenario_and_settings(name, overrides=None):
    toy = load_scenario(name, {"decisions": DECISIONS, "load": LOADS[name], **(overrides or {})})
    return toy, build_settings(toy, randomise=False)


def test_slow_devices_show_in_no_observation_where_the_cloud_goes_first():
    # Nothing that the scheduler hears of depends on z: not even all-device requests report back.
    toy, settings = scenario_and_settings("sd-mobile")
    one, other = (Run(toy, settings._replace(jitter=jitter)) for jitter in (0.0, 0.9))
    assert assert_no_leak(one, other) == DECISIONS + 1
    assert not np.array_equal(one.record["complete"], other.record["complete"])


def test_slow_devices_show_at_the_first_ready_event_where_the_device_goes_first():
    toy, settings = scenario_and_settings("regnet-camera")
    compared = []
    for seed in range(20):
        one, other = (
            Run(toy, settings._replace(jitter=jitter), seed=seed) for jitter in (0.0, 0.9)
        )
        compared.append(assert_no_leak(one, other))
        assert one.observations != other.observations
    # Requests arrive between a decision and its ready event: the test has something to compare.
    assert sum(compared) > 3 * len(compared)


def test_true_bandwidth_shows_at_the_first_ready_event():
    # Links twice as fast behind the same reports: reports are the rate times an error.
    toy, settings = scenario_and_settings("regnet-camera")
    faster = settings._replace(rate=2.0 * settings.rate, report=0.5 * settings.report)
    compared = []
    for seed in range(20):
        one, other = (Run(toy, s, seed=seed) for s in (settings, faster))
        compared.append(assert_no_leak(one, other))
        np.testing.assert_array_equal(one.record["uplink"], other.record["uplink"])
        assert one.observations != other.observations
    assert sum(compared) > 3 * len(compared)


def test_what_the_world_knows_of_requests_under_way_shows_in_no_observation():
    toy, settings = scenario_and_settings("sd-mobile", {"load": 1.5})

    def worsen(simulator, _):
        simulator.truth.request["slowness"] *= 1.3
        simulator.truth.request["rtt"] *= 1.3
        simulator.truth.request["encoded"] += 5.0
        simulator.truth.client["device_free"] += 1.0

    # Device heads would be ready later: there are none where the cloud goes first.
    one, other = Run(toy, settings), Run(toy, settings, each_step=worsen)
    assert assert_no_leak(one, other) == DECISIONS + 1
    assert not np.array_equal(one.record["complete"], other.record["complete"])


@pytest.mark.parametrize("seed", range(6))
def test_future_arrivals_show_when_they_arrive(seed):
    # The same until the arrival process changes its state; then at four times the rate.
    toy, settings = scenario_and_settings("sd-mobile")
    dwell = np.array([100.0, 100.0])
    calm = settings._replace(phase_rate=np.array([1.0, 1.0]), phase_dwell=dwell)
    crowd = settings._replace(phase_rate=np.array([1.0, 4.0]), phase_dwell=dwell)
    one, other = (Run(toy, s, seed=seed) for s in (calm, crowd))
    compared = assert_no_leak(one, other)
    assert one.observations != other.observations
    same = np.equal(one.arrivals, other.arrivals)
    assert compared == (len(same) if same.all() else same.argmin())


def test_the_scenario_s_rate_is_in_no_table_and_in_no_first_observation():
    quiet, busy = (load_scenario("sd-mobile", {"load": load}) for load in (0.1, 3.0))
    for mine, theirs in zip(build_tables(quiet), build_tables(busy), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    first = set()
    for toy in (quiet, busy):
        # On links that do not change, the time of the first arrival does not matter.
        settings = build_settings(toy, randomise=False)
        simulator = Simulator(toy, 8, settings=settings._replace(rate=np.ones_like(settings.rate)))
        simulator.seed(range(8))
        simulator.reset()
        first.add(simulator.observation.tobytes())
    assert len(first) == 1
