"""Search a rule's declared parameters: least GPU cost with the target attainment.

**Search.** Optuna's TPE (Bergstra et al., NeurIPS 2011; multivariate) proposes settings, the
defaults first. The target is a constraint, not a weight: TPE is told each setting's shortfall, and
ranks every setting without one before every one with, the former by cost, the latter by shortfall
(the feasibility rules of Deb, *An efficient constraint handling method for genetic algorithms*,
2000). No penalty has to be chosen, and as TPE uses ranks only, none would do more. Where nothing
reaches the target, the same order leads to the greatest attainment.

**Fidelity.** All settings meet the same training episodes. Each plays the first few; the best third
of all so far goes on to more, the rest is pruned (successive halving: Jamieson and Talwalkar,
AISTATS 2016; as trials arrive: Li et al., MLSys 2020).

**Winner's curse.** The best of many settings on some episodes flatters itself on these. So the best
few are played again on validation episodes that no search has seen, as many as it takes to know
their attainment within ``PRECISION`` (95%), and a setting has the target only if the lower end of
its interval does. The search therefore asks for ``PRECISION`` more than the target.

**Resuming.** Trials are asked and told in batches of fixed size, each a function of the trials
before it. A study that was stopped, whenever and on however many cores, goes on to the result that
it would have had.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from agents.curves import effective_target
from agents.measures import attainable
from agents.policy import Parameter
from agents.registry import make_rule
from agents.tasks import Measured, Run, Setting, here, join, measure_all
from agents.tuned_files import Seeds, Tuned, world_digest
from splitenv.files import OutputError
from splitenv.provenance import provenance
from splitenv.scenario import Scenario
from splitenv.tables import profile_digest

TRAINING_SEEDS = 1 << 60
VALIDATION_SEEDS = 1 << 61
"""First seeds: above any that a user types to evaluate, below those of agents.monitor.HELD_OUT."""

FIRST, LAST = 24, 96
"""Training episodes that every setting plays, and that those play which are not pruned."""

KEPT = 1 / 3
"""Share of settings that is not pruned; of a few, as many as can be validated."""

BATCH = 4
"""Trials that are asked before any of them is told; whatever the number of processes."""

PRECISION = 0.001
VALIDATION = (128, 512)
"""Validation episodes: at least, and at most if the precision needs more."""

FINALISTS = 4
"""Settings that are validated at once; twice as many again while none of them has the target."""

DIGITS = 4
"""Significant digits of a parameter: what is written is what was played."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Question:
    """What is asked of a study: the values of a rule's parameters for a scenario and a target.

    Attributes
    ----------
    target
        Attainment to have.
    trials
        Settings to try.
    """

    policy: str
    scenario: Scenario
    target: float
    trials: int

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The rule's declared parameters."""
        return dict(make_rule(self.policy).parameters)


Values = tuple[tuple[str, float], ...]
Outcome = list[list[float]]
"""GPU cost and attainment after the first episodes and, if not pruned, after all."""
Played = dict[Values, Outcome]


def reachable(scenario: Scenario, target: float) -> float:
    """Return what can be asked for: the target, or a little under what anybody could have."""
    could = attainable(scenario, TRAINING_SEEDS + np.arange(FIRST))
    share = could.of("in_time").sum() / could.of("requests").sum()
    return round(effective_target(target, float(share)), 4)


def study_digest(question: Question, run: Run = here) -> str:
    """SHA-256 of all that the answer depends on, but for the number of trials.

    Of the code it holds what the rule with its defaults does in two training episodes: a faster
    kernel leaves it as it is, another physics or rule doesn't.
    """
    defaults = Setting(question.policy, {})
    (played,) = measure_all([defaults], question.scenario, TRAINING_SEEDS, 2, run)
    content = {
        "policy": question.policy,
        "ranges": {name: vars(parameter) for name, parameter in question.parameters.items()},
        "scenario": world_digest(question.scenario),
        "profiles": profile_digest(question.scenario),
        "target": question.target,
        "search": [FIRST, LAST, KEPT, BATCH, PRECISION, VALIDATION, FINALISTS, DIGITS],
        "played": [
            played.violations.tolist(),
            [f"{seconds:.6g}" for seconds in played.gpu_seconds.tolist()],
        ],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def tune(
    question: Question,
    digest: str,
    journal: Path,
    run: Run = here,
    advance: Advance = lambda ended: None,
) -> Tuned:
    """Answer a question, going on from what its journal holds.

    Parameters
    ----------
    digest
        The question's :func:`study_digest`.
    journal
        File of the study's trials; made if there is none.
    run
        Carries out the playing.
    advance
        Called with the number of trials that have ended since its last call.

    Raises
    ------
    OutputError
        If the journal cannot be written.
    """
    played, trials = _search(question, digest, journal, run, advance)
    setting, measured = _validate(played, question, run)
    episodes = len(measured.requests)
    reference = Setting("all-cloud", {})
    (all_cloud,) = measure_all([reference], question.scenario, VALIDATION_SEEDS, episodes, run)
    return Tuned(
        policy=question.policy,
        parameters=dict(setting.parameters),
        scenario=question.scenario.name,
        scenario_digest=world_digest(question.scenario),
        profile_digest=profile_digest(question.scenario),
        study=digest,
        target=question.target,
        reached=_has(measured, question.target),
        attainment=round(measured.attainment, 6),
        within=round(measured.within, 6),
        gpu_seconds=float(f"{measured.seconds:.6g}"),
        gpu_cost=float(f"{measured.cost:.6g}"),
        saving=round(1.0 - measured.cost / all_cloud.cost, 6),
        trials=trials,
        seeds=Seeds(training=(TRAINING_SEEDS, LAST), validation=(VALIDATION_SEEDS, episodes)),
        provenance=provenance(),
    )


def _search(
    question: Question, digest: str, journal: Path, run: Run, advance: Advance
) -> tuple[Played, int]:
    """Try settings; return what came of each, and how many trials there were."""
    parameters = question.parameters
    if not parameters:
        return {}, 0
    ranges = {name: distribution(parameter) for name, parameter in parameters.items()}
    goal = question.target + PRECISION
    kept = open_study(journal, digest)
    trials = kept.get_trials(deepcopy=False)
    played: Played = {_values(t.user_attrs["parameters"]): t.user_attrs["outcome"] for t in trials}
    advance(len(trials))
    # Asked and told in memory: the journal, slow as it is safe, gets trials that have ended.
    study = optuna.create_study(direction="minimize")
    study.add_trials(trials[: len(trials) // BATCH * BATCH])
    if not study.trials:
        study.enqueue_trial({name: parameter.default for name, parameter in parameters.items()})
    done = len(trials)
    while done < question.trials:
        begun = done // BATCH * BATCH
        asked = [ask(study, ranges, n) for n in range(begun, min(begun + BATCH, question.trials))]
        settings = [_setting(question.policy, trial.params, parameters) for trial in asked]
        _play(settings, question.scenario, goal, played, run)
        for trial, setting in zip(asked, settings, strict=True):
            ended = _tell(study, trial, setting, played[_values(setting.parameters)], goal)
            if trial.number >= done:
                kept.add_trial(ended)
        advance(begun + len(asked) - done)
        done = begun + len(asked)
    return played, done


def distribution(parameter: Parameter) -> BaseDistribution:
    """The values to try: whole numbers where default and ends are written as such."""
    low, high = parameter.low, parameter.high
    if all(isinstance(value, int) for value in (parameter.default, low, high)):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high)


def open_study(journal: Path, digest: str) -> optuna.Study:
    """Open the study of a question in its journal, or begin it.

    Raises
    ------
    OutputError
        If the journal cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.create_study(
            storage=storage, study_name=digest, direction="minimize", load_if_exists=True
        )
    except (OSError, json.JSONDecodeError) as error:
        raise OutputError(f"cannot keep the study in {journal}: {error}") from error


def ask(study: optuna.Study, ranges: dict[str, BaseDistribution], number: int) -> optuna.Trial:
    """Ask for the next trial; what is proposed depends on its number and those before it."""
    study.sampler = optuna.samplers.TPESampler(seed=number, multivariate=True)
    return study.ask(ranges)


def _setting(policy: str, proposed: dict[str, float], declared: dict[str, Parameter]) -> Setting:
    values = {}
    for name, value in proposed.items():
        rounded = value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
        values[name] = min(max(rounded, declared[name].low), declared[name].high)
    return Setting(policy, values)


def _values(parameters: Mapping[str, float]) -> Values:
    return tuple(sorted(parameters.items()))


def _play(
    settings: list[Setting], scenario: Scenario, goal: float, played: Played, run: Run
) -> None:
    """Play a batch: all settings the first episodes, those among the best the others too."""
    distinct = {_values(setting.parameters): setting for setting in settings}
    new = [setting for values, setting in distinct.items() if values not in played]
    firsts = measure_all(new, scenario, TRAINING_SEEDS, FIRST, run)
    for setting, first in zip(new, firsts, strict=True):
        played[_values(setting.parameters)] = [[first.cost, first.attainment]]
    ranks = sorted(_rank(outcome[0], goal) for outcome in played.values())
    bar = ranks[min(max(math.ceil(KEPT * len(ranks)), FINALISTS), len(ranks)) - 1]
    kept = [
        (setting, first)
        for setting, first in zip(new, firsts, strict=True)
        if _rank([first.cost, first.attainment], goal) <= bar
    ]
    rests = measure_all(
        [setting for setting, _ in kept], scenario, TRAINING_SEEDS + FIRST, LAST - FIRST, run
    )
    for (setting, first), rest in zip(kept, rests, strict=True):
        whole = join([first, rest])
        played[_values(setting.parameters)].append([whole.cost, whole.attainment])


def _rank(outcome: Sequence[float], goal: float) -> tuple[float, float]:
    """Order settings: first those with the goal by cost, then the others by what they lack."""
    cost, attainment = outcome
    shortfall = max(goal - attainment, 0.0)
    return (shortfall, cost)


def _tell(
    study: optuna.Study, trial: optuna.Trial, setting: Setting, outcome: Outcome, goal: float
) -> FrozenTrial:
    cost, attainment = outcome[-1]
    trial.set_user_attr("parameters", dict(setting.parameters))
    trial.set_user_attr("outcome", outcome)
    trial.set_constraint("shortfall", goal - attainment)
    trial.report(cost, step=FIRST if len(outcome) == 1 else LAST)
    if len(outcome) == 1:
        return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, cost)


def _validate(played: Played, question: Question, run: Run) -> tuple[Setting, Measured]:
    """Choose among the best few by episodes that the search hasn't seen.

    Those come first that have the target in training, as cheap as can be; if validation takes it
    from all of them, those that have more than the target.
    """
    rest = {values: outcome[1] for values, outcome in played.items() if len(outcome) == 2}
    rest = rest or {(): [0.0, 0.0]}
    tried: list[tuple[Setting, Measured]] = []
    for more in (0.0, PRECISION, 2 * PRECISION):
        goal = question.target + more
        best = sorted(rest, key=lambda values: (_rank(rest[values], goal), values))[:FINALISTS]
        group = [Setting(question.policy, dict(values)) for values in best]
        tried += zip(group, _known(group, question, run), strict=True)
        having = [each for each in tried if _has(each[1], question.target)]
        if having:
            return min(having, key=lambda each: each[1].cost)
        rest = {values: outcome for values, outcome in rest.items() if values not in best}
    return max(tried, key=lambda each: each[1].attainment)


def _known(settings: list[Setting], question: Question, run: Run) -> list[Measured]:
    """Play validation episodes until it is known which settings have the target."""
    least, most = VALIDATION
    known = measure_all(settings, question.scenario, VALIDATION_SEEDS, least, run)
    episodes = least
    while episodes < most and any(_undecided(each, question.target) for each in known):
        more = measure_all(settings, question.scenario, VALIDATION_SEEDS + episodes, episodes, run)
        known = [join(pair) for pair in zip(known, more, strict=True)]
        episodes *= 2
    return known


def _undecided(measured: Measured, target: float) -> bool:
    """Whether it may have the target, but its attainment is not known well enough."""
    return measured.within > PRECISION and measured.attainment + measured.within >= target


def _has(measured: Measured, target: float) -> bool:
    return measured.attainment - measured.within >= target
