"""The simulator against queueing theory, and the formulas against each other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from splitenv import theory, validation
from splitenv.cli import main

LOADS = [0.1, 0.3, 0.5, 0.7, 0.9, 0.95]
CASES = list(validation.cases())
QUICK = 0.7


def name(case):
    return f"{case.model} {case.load:g}"


@pytest.mark.parametrize("case", [c for c in CASES if c.load <= QUICK], ids=name)
def test_theory_lies_in_the_simulations_narrow_interval(case):
    missed = [line for line in validation.run(case) if not line.ok]
    assert not missed


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c.load > QUICK], ids=name)
def test_theory_lies_in_the_simulations_narrow_interval_at_high_load(case):
    missed = [line for line in validation.run(case) if not line.ok]
    assert not missed


def test_every_world_of_the_design_is_there_up_to_load_0_9():
    high = {case.model for case in CASES if case.load == 0.9}
    assert {"M/D/1", "M/D/2", "M/D/4", "M/D/8", "bulk (1, 4)", "bulk (1, 8)"} <= high
    assert {"M/G/1, 2 placements", "batch of 1 + 0.1 b", "batch of 1 + 1 b"} <= high


def test_a_formula_that_is_wrong_by_3_percent_misses():
    case = validation._md1(0.3)
    claim = case.claims[0]
    wrong = tuple(claim._replace(value=claim.value * factor) for factor in (0.97, 1.03))
    assert not any(line.ok for line in validation.run(replace(case, claims=wrong)))


def test_a_bound_below_the_simulation_misses_and_so_does_a_loose_one_at_high_load():
    case = validation._linear(0.7, 0.1)
    exact, bound = case.claims
    wrong = tuple(bound._replace(value=exact.value * factor) for factor in (0.97, 1.05))
    assert not any(line.ok for line in validation.run(replace(case, claims=wrong)))


def test_too_few_runs_are_a_miss_though_theory_lies_in_the_interval(monkeypatch):
    monkeypatch.setattr(validation, "LOOKS", (1,))
    (line,) = validation.run(validation._mdc(0.7, 8))
    assert abs(line.simulation - line.theory) <= line.half_width
    assert line.half_width > validation.HALF_WIDTH * line.simulation
    assert not line.ok


def test_a_run_gives_the_same_numbers_again_and_others_under_another_seed():
    case = validation._mg1(0.3)
    first, again, other = (validation.run(case, seed)[0].simulation for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("load", LOADS)
def test_pollaczek_khinchine_gives_the_known_waits_of_m_m_1_and_m_d_1(load):
    assert theory.mg1_wait(load, 1.0, 2.0) == pytest.approx(load / (1 - load))
    assert theory.md1_wait(load / 3, 3.0) == pytest.approx(3 * load / (2 * (1 - load)))


@pytest.mark.parametrize("load", LOADS)
def test_m_d_c_with_one_server_is_pollaczek_khinchine(load):
    assert theory.mdc_wait(load, 1.0, 1) == pytest.approx(theory.md1_wait(load, 1.0), rel=1e-10)


@pytest.mark.parametrize("servers", [1, 2, 4, 8])
@pytest.mark.parametrize("load", [0.5, 0.9])
def test_m_d_c_mean_is_the_integral_of_franx_distribution(servers, load):
    """Two ways that share no step: Spitzer's series; a Markov chain and Franx's formula."""
    service, step = 2.0, 1 / 50
    rate = load * servers / service
    middles = np.arange(step / 2, 60 * service, step)
    later = 1.0 - theory.mdc_wait_at_most(middles, rate, service, servers)
    wait = theory.mdc_wait(rate, service, servers)
    assert later.sum() * step == pytest.approx(wait, rel=5e-4)


def test_m_d_1_serves_at_once_whoever_finds_nobody():
    at_once = theory.mdc_wait_at_most(np.array([0.0]), 0.6, 1.0, 1)
    assert at_once == pytest.approx(0.4, rel=1e-9)


@pytest.mark.parametrize("servers", [2, 8])
def test_m_d_c_waits_as_one_server_c_times_as_fast_when_load_goes_to_1(servers):
    load = 0.99
    fast = theory.md1_wait(load * servers, 1 / servers)
    assert theory.mdc_wait(load * servers, 1.0, servers) == pytest.approx(fast, rel=0.03)


@pytest.mark.parametrize("load", LOADS)
def test_bulk_service_of_one_at_once_is_m_d_1(load):
    assert theory.bulk_wait(load, 1.0, 1) == pytest.approx(theory.md1_wait(load, 1.0), rel=1e-9)


def test_bulk_service_of_all_at_once_waits_for_what_is_left_of_one_service():
    """No one is left over: half a service for those that arrive in one, e^-r of which are empty."""
    rate = 3.0
    wait = theory.bulk_wait(rate, 1.0, 64)
    assert wait == pytest.approx(rate / 2 / (rate + np.exp(-rate)), rel=1e-9)
    latency = theory.linear_batch_latency(rate, 1.0, 1e-12)
    assert latency == pytest.approx(1.0 + wait, rel=1e-6)


@pytest.mark.parametrize("fixed", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("load", LOADS)
def test_inoues_bound_is_not_below_the_chain_and_tight_at_high_load(fixed, load):
    latency, bound = (
        formula(load, fixed, 1.0)
        for formula in (theory.linear_batch_latency, theory.linear_batch_bound)
    )
    assert bound >= latency * (1 - 1e-9)
    assert bound <= latency * (1.1 if load < 0.9 else 1.01)


def test_inoues_bound_is_exact_for_a_request_that_meets_nobody():
    assert theory.linear_batch_bound(1e-9, 3.0, 2.0) == pytest.approx(5.0)
    assert theory.linear_batch_latency(1e-9, 3.0, 2.0) == pytest.approx(5.0)


def test_a_load_of_1_has_no_steady_state():
    for formula in (
        lambda: theory.md1_wait(1.0, 1.0),
        lambda: theory.mdc_wait(4.0, 1.0, 4),
        lambda: theory.bulk_wait(4.0, 1.0, 4),
        lambda: theory.linear_batch_latency(1.0, 1.0, 1.0),
        lambda: theory.linear_batch_bound(1.0, 1.0, 1.0),
    ):
        with pytest.raises(ValueError, match="no steady state"):
            formula()


def test_the_command_prints_every_line_and_its_verdict(capsys):
    main_exits(0, "validate", "--load-max", "0.1")
    printed = capsys.readouterr().out
    assert "one request" in printed
    assert "all 1 lines met" in printed


def test_the_command_as_json_holds_theory_simulation_and_interval(capsys, monkeypatch):
    monkeypatch.setattr(validation, "cases", lambda load_max: iter([validation._md1(load_max)]))
    main_exits(0, "validate", "--load-max", "0.3", "--json")
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert line["theory"] == pytest.approx(0.3 / 1.4)
    assert line["error"] == pytest.approx(line["simulation"] / line["theory"] - 1)
    assert line["half_width"] < 0.01 * line["simulation"]
    assert line["ok"]


def test_a_missed_line_is_exit_code_1(capsys, monkeypatch):
    case = validation._md1(0.3)
    wrong = replace(case, claims=(case.claims[0]._replace(value=1.0),))
    monkeypatch.setattr(validation, "cases", lambda load_max: iter([wrong]))
    main_exits(1, "validate")
    assert "missed" in capsys.readouterr().out


def main_exits(code, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    assert (exit_.value.code or 0) == code
