"""Randomness is a function of seed, episode and purpose: never of actions, rows or order."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from splitenv.env import SplitInferenceEnv
from splitenv.scenario import load_scenario
from splitenv.settings import build_settings
from splitenv.simulator import NO_RESET, Simulator

SHORT = {"decisions": 140, "load": 0.8}
ROOT = Path(__file__).parents[2]
WORLD = ("arrival", "deadline", "client", "device", "model", "sla", "uplink", "downlink", "rtt")


def episode(env, actions):
    """Bytes of every observation and reward of the episode that env is in."""
    seen = []
    for action in actions:
        observation, reward, _, truncated, _ = env.step(int(action))
        seen.append((observation.tobytes(), reward, truncated))
    return seen


def random_actions(seed=0):
    return np.random.default_rng(seed).integers(0, 56, SHORT["decisions"])


@pytest.mark.parametrize("randomise", [False, True])
def test_same_seed_and_actions_give_the_same_bytes(randomise):
    runs = []
    for _ in range(2):
        env = SplitInferenceEnv(overrides=SHORT, randomise=randomise)
        first, _ = env.reset(seed=3)
        runs.append((first.tobytes(), episode(env, random_actions())))
    assert runs[0] == runs[1]


def test_another_seed_is_another_world():
    env = SplitInferenceEnv(overrides=SHORT)
    assert env.reset(seed=3)[0].tobytes() != env.reset(seed=4)[0].tobytes()


def test_a_seed_starts_over_whatever_came_before():
    used, new = SplitInferenceEnv(overrides=SHORT), SplitInferenceEnv(overrides=SHORT)
    used.reset(seed=8)
    episode(used, random_actions(1)[:77])
    assert used.reset(seed=3)[0].tobytes() == new.reset(seed=3)[0].tobytes()
    assert episode(used, random_actions()) == episode(new, random_actions())


def test_a_reset_without_a_seed_starts_the_next_episode_even_in_the_middle_of_one():
    whole, cut = SplitInferenceEnv(overrides=SHORT), SplitInferenceEnv(overrides=SHORT)
    first = whole.reset(seed=3)[0]
    cut.reset(seed=3)
    episode(whole, random_actions())
    episode(cut, random_actions()[:20])
    second = whole.reset()[0]
    assert second.tobytes() == cut.reset()[0].tobytes()
    assert second.tobytes() != first.tobytes()
    assert episode(whole, random_actions()) == episode(cut, random_actions())


def test_an_environment_that_was_never_seeded_seeds_itself():
    first, second = (SplitInferenceEnv(overrides=SHORT).reset()[0] for _ in range(2))
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize(
    ("scenario", "load"), [("sd-mobile", 0.8), ("regnet-camera", 60.0), ("flash-crowd", 0.8)]
)
def test_two_policies_under_one_seed_meet_the_same_world(scenario, load):
    toy = load_scenario(scenario, {"decisions": 400, "load": load})
    records = []
    for chosen in (0, -1):
        simulator = Simulator(toy, 2, record=True)
        simulator.seed([1, 2])
        simulator.reset()
        action = np.full(2, chosen % simulator.actions)
        for _ in range(toy.decisions):
            simulator.step(action, NO_RESET)
        records.append(simulator.record.copy())
    for name in WORLD:
        np.testing.assert_array_equal(records[0][name], records[1][name])
    assert not np.array_equal(records[0]["complete"], records[1]["complete"])


def test_what_other_rows_do_does_not_matter():
    toy = load_scenario("sd-mobile", SHORT)
    seen = []
    for others in (0, 55):
        simulator = Simulator(toy, 5)
        simulator.seed(range(5))
        simulator.reset()
        rows = np.full(5, others)
        for action in random_actions():
            rows[2] = action
            simulator.step(rows)
            seen.append((simulator.observation[2].tobytes(), simulator.reward[2]))
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


def test_randomised_episodes_differ_in_load_links_and_devices():
    env = SplitInferenceEnv(overrides=SHORT, randomise=True)
    drawn = set()
    for seed in range(4):
        env.reset(seed=seed)
        world = env.simulator.truth.world[0]
        drawn.add((world["load"], world["bandwidth"], world["device_speed"]))
        assert 0.25 <= world["load"] / env.scenario.load <= 2.5
    assert len(drawn) == 4


# --- One world, however it is run: alone or among others, by several threads, in another process.

EVERYTHING = {
    "arrivals": "mmpp-bursty",
    "load_steps": [{"at_s": 20.0, "factor": 3.0}],
    "clients.count": 40,
    "clients.sessions": {"active": 8, "requests": 5},
    "clients.background": {"share": 0.3, "slowdown": 2.0, "block_s": 5.0},
    "network.initial_window": 14_600,
    "pool.beside": {"a100": 2},
    "queue": 24,
}
WORLDS = {
    "batch": ("sd-mobile", {}),
    "continuous": ("sd-mobile", {"serving": "continuous"}),
    "everything, batch": ("mixed-tenants", EVERYTHING),
    "everything, continuous": ("mixed-tenants", EVERYTHING | {"serving": "continuous"}),
    "dropping": ("sd-mobile", {"dispatch.discipline": "window-drop", "load": 2.8}),
}


def digests(world, seeds, threads=1):
    """SHA-256 of all that an episode under each of the seeds shows, pays and leaves behind."""
    name, changes = WORLDS[world]
    scenario = load_scenario(name, {"decisions": 300, "load": 1.5} | changes)
    settings = build_settings(scenario, randomise=True)
    if changes.get("clients.background"):
        settings = settings._replace(
            throttle=np.full_like(settings.throttle, 2.5),
            throttle_time=np.full_like(settings.throttle, 20.0),
            throttles=1,
        )
    envs = len(seeds)
    simulator = Simulator(scenario, envs, settings=settings, record=True, threads=threads)
    simulator.seed(seeds)
    simulator.reset()
    actions = [
        np.random.default_rng(seed).integers(0, simulator.actions, scenario.decisions)
        for seed in seeds
    ]
    seen = [hashlib.sha256() for _ in seeds]
    for action in np.transpose(actions):
        simulator.step(np.ascontiguousarray(action), NO_RESET)
        for row, digest in enumerate(seen):
            for shown in (simulator.observation, simulator.mask, simulator.reward, simulator.terms):
                digest.update(shown[row].tobytes())
    for row, digest in enumerate(seen):
        for left in (simulator.record, simulator.finished, simulator.ledger):
            digest.update(left[row].tobytes())
    return [digest.hexdigest() for digest in seen]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("envs", "threads"), [(7, 1), (33, 2), (8, 3)])
def test_a_row_of_a_batch_is_the_episode_alone_on_any_number_of_threads(world, envs, threads):
    batch = digests(world, range(envs), threads)
    assert [digests(world, [row])[0] for row in (0, 3, envs - 1)] == [
        batch[row] for row in (0, 3, envs - 1)
    ]
    assert len(set(batch)) == envs


def test_another_process_sees_the_same_floats():
    code = (
        "from tests.splitenv.test_determinism import *; print({w: digests(w, [3]) for w in WORLDS})"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str({world: digests(world, [3]) for world in WORLDS})
