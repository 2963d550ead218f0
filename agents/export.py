"""Export a policy, learned or rule, to a bundle that the runtime scheduler reads.

python -m agents.export runs/x bundles/x
python -m agents.export latency-bound bundles/lb --scenario sd-mobile
python -m agents.export tuned:sd-mobile/joint-greedy+slack bundles/jg
python -m agents.export tree:runs/explanation/tree.yaml bundles/tree
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.envelope import envelope_of
from agents.lookahead import Lookahead
from agents.policy import Policy
from agents.registry import PolicyError, make_policy, reference_and_settings
from agents.report import target, winner
from agents.tree import Tree
from agents.tuned_files import MEASURED, read_tuned, tuned_path
from splitenv import features
from splitenv.actions import HOLD_LEVELS
from splitenv.context import Context
from splitenv.profiles.figures import ProfileError
from splitenv.provenance import provenance
from splitenv.runtime import BundleError
from splitenv.runtime.bundle import Bundle, Goldens, check, write_bundle
from splitenv.runtime.manifest import (
    Actions,
    Graph,
    Guard,
    Knob,
    Manifest,
    ModelNames,
    Names,
    Observation,
    Rule,
    ScenarioEntry,
)
from splitenv.runtime.policies import GraphPolicy
from splitenv.scenario import Scenario, load_scenario, parse_overrides
from splitenv.simulator import Simulator
from splitenv.state import Tables
from splitenv.tables import build_tables, fleet, place, profile_digest

if TYPE_CHECKING:
    import torch

DEFAULT_SCENARIO = "sd-mobile"
FALLBACK = Rule(name="latency-bound", parameters={})
"""The rule that decides where the policy is not to be trusted, with its default parameters."""

OPSET = 18
GOLDENS = 256
MASKED = -1e9
"""Logit of an action that cannot be done."""

_GOLDEN_ENVS = 16
_GOLDEN_SEED = 7_200_000


def export(
    policy: Policy,
    scenario: Scenario,
    folder: Path,
    *,
    training: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
) -> Manifest:
    """Write a policy as a bundle for the pool and the tables of a scenario.

    Parameters
    ----------
    training, evaluation
        Where a learned or tuned policy comes from, and what it was measured to do; plain data.

    Raises
    ------
    BundleError
        If the folder cannot be written, the exported policy decides otherwise than this one or
        needs the simulator, or the scenario serves continuously, which the runtime scheduler does
        not follow yet.
    """
    if scenario.serving != "batch":
        raise BundleError(
            f"scenario {scenario.name}: serving is {scenario.serving}; the runtime scheduler "
            "follows batch serving only, so that is what a bundle can be made for"
        )
    if isinstance(policy, Lookahead):
        raise BundleError(
            "lookahead rolls the simulator forward, and production has none; export its base rule"
        )
    scenario = policy.under(scenario)
    tables = build_tables(scenario)
    context = Context(tables)
    policy.bind(context)
    goldens = record_goldens(policy, scenario)
    actor = getattr(policy, "graph", None)
    rule, network, graph = None, None, None
    if isinstance(policy, Tree):
        # Not at the top: only graphs need onnx.
        from agents.tree_graph import tree_graph

        graph = tree_graph(policy, OPSET)
        logits = GraphPolicy(graph).logits(goldens.observations, goldens.masks)
        goldens = replace(goldens, logits=logits)
        network = Graph(opset=OPSET, algorithm="tree")
    elif actor is None:
        # Of a pair the split decides; its discipline stands in the scenario.
        said = policy.split.describe()
        rule = Rule(name=said["name"], parameters=said["parameters"])
        # A rule may draw at random: its goldens are what a fresh one gives on them.
        policy.bind(context)
        goldens = replace(goldens, actions=policy.act(goldens.observations, goldens.masks))
    else:
        graph = actor_graph(actor, len(context.features), context.actions)
        goldens = replace(goldens, logits=masked_logits(actor, goldens))
        network = Graph(
            opset=OPSET,
            algorithm=str((training or {}).get("algorithm", "ppo")),
            knob=knob_of_run(policy, training or {}),
        )
    manifest = Manifest(
        name=policy.name,
        kind="rule" if rule else "learned",
        rule=rule,
        graph=network,
        fallback=FALLBACK,
        discipline=scenario.dispatch.discipline,
        envelope=None if rule else envelope_of(policy, scenario, context, training or {}),
        training=training or {"provenance": provenance()},
        evaluation=evaluation or {},
        **describe_scenario(scenario, tables),
    )
    bundle = Bundle(manifest=manifest, tables=tables, goldens=goldens, graph=graph)
    check(bundle)
    return write_bundle(folder, bundle)


def describe_scenario(scenario: Scenario, tables: Tables) -> dict[str, Any]:
    """Fill the fields of a manifest that follow from the scenario."""
    placements = tables.enter.shape[1]
    low, high = features.bounds(placements)
    return {
        "observation": Observation(
            version=features.VERSION, features=features.describe(placements)
        ),
        "actions": Actions(
            placement=tables.action_placement.tolist(),
            hold=tables.action_hold.tolist(),
            hold_levels=list(HOLD_LEVELS),
        ),
        "names": names(scenario),
        "gpus": scenario.pool.size,
        "queue": min(scenario.queue, scenario.decisions),
        "scenario": ScenarioEntry(
            name=scenario.name, digest=scenario.digest(), content=scenario.model_dump(mode="json")
        ),
        "profiles": profile_digest(scenario),
        "guard": Guard(low=low.tolist(), high=high.tolist()),
    }


def names(scenario: Scenario) -> Names:
    """Name the rows of a scenario's tables."""
    devices = [
        device.name if device.faster == 1.0 else f"{device.name} x{device.faster:g}"
        for device in fleet(scenario)
    ]
    models = []
    for workload in scenario.models:
        placed = place(workload)
        spans = [(placed.cuts[first], placed.cuts[last]) for first, last in placed.spans[1:]]
        models.append(ModelNames(name=workload.model, placements=[(0, 0), *spans]))
    return Names(devices=devices, models=models, sla=list(scenario.sla))


def record_goldens(policy: Policy, scenario: Scenario, rows: int = GOLDENS) -> Goldens:
    """Draw observations from the length of real episodes under the policy itself."""
    simulator = Simulator(scenario, _GOLDEN_ENVS)
    simulator.seed(range(_GOLDEN_SEED, _GOLDEN_SEED + _GOLDEN_ENVS))
    simulator.reset()
    steps = rows // _GOLDEN_ENVS
    apart = max(1, scenario.decisions // (2 * steps))
    observations, masks, actions = [], [], []
    for step in range(steps * apart):
        chosen = policy.act(simulator.observation, simulator.mask)
        if step % apart == 0:
            observations.append(simulator.observation.copy())
            masks.append(simulator.mask.copy())
            actions.append(chosen)
        simulator.step(chosen)
    return Goldens(
        np.concatenate(observations),
        np.concatenate(masks),
        np.concatenate(actions).astype(np.int64),
    )


def masked_logits(actor: torch.nn.Module, goldens: Goldens) -> Any:
    """Logits that torch gives, those of impossible actions replaced by :data:`MASKED`."""
    import torch

    with torch.no_grad():
        logits = actor(torch.from_numpy(goldens.observations)).numpy()
    return np.where(goldens.masks, logits, np.float32(MASKED))


def knob_of_run(policy: Policy, training: dict[str, Any]) -> Knob | None:
    """Where the knob of a policy stands, and where its calibration meets which target."""
    from agents.learned import SB3Policy
    from agents.pressure import knob_of

    if not isinstance(policy, SB3Policy) or policy.graph.knobs.numel() == 0:
        return None
    measured = training.get("calibration", {}).get("targets", {})
    targets = {
        name: at if at is None else knob_of(at, policy.limits) for name, at in measured.items()
    }
    return Knob(value=float(policy.graph.knobs[0, 0]), targets=targets)


def actor_graph(actor: torch.nn.Module, width: int, actions: int) -> bytes:
    """Serialise a learned policy: the actor, the mask and the argmax as one ONNX graph.

    Inputs ``observation`` (N, width) float32 and ``mask`` (N, actions) bool, and ``knob`` (1,) if
    the actor has one; outputs ``action`` (N,) int64 and ``logits`` (N, actions) float32, masked.
    One file, any N. Observations are normalised by the environment, so nothing is left to normalise
    here.
    """
    import torch

    class Masked(torch.nn.Module):
        def __init__(self, actor: torch.nn.Module) -> None:
            super().__init__()
            self.actor = actor

        def forward(
            self, observation: torch.Tensor, mask: torch.Tensor, knob: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            seen = (observation,) if knob is None else (observation, knob)
            logits = torch.where(mask, self.actor(*seen), MASKED)
            return logits.argmax(dim=1), logits

    knobs = getattr(actor, "knobs", torch.zeros(0))
    others = (torch.zeros(1),) if knobs.numel() else ()
    batch = torch.export.Dim("batch")
    # It warns of operators of torchvision, which is not needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Of code of its own that it will have to change, and of an axis that it names twice.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Masked(actor).eval(),
            (torch.zeros(2, width), torch.ones(2, actions, dtype=torch.bool), *others),
            input_names=["observation", "mask", "knob"][: 2 + len(others)],
            output_names=["action", "logits"],
            opset_version=OPSET,
            dynamic_shapes=({0: batch}, {0: batch}, *(None for _ in others)),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return _without_traces(program.model_proto)


def _without_traces(model: Any) -> bytes:
    """Serialise a graph without the exporter's notes, which tell paths of the machine it ran on."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in (*model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    return bytes(model.SerializeToString())


def load_run(folder: Path) -> tuple[Policy, Scenario, dict[str, Any], dict[str, Any]]:
    """Load a training run: its best policy, its scenario, where it comes from, how it did."""
    from agents.learned import CALIBRATION, load_policy
    from agents.ppo import read_config

    config = read_config(folder)
    evaluations = folder / "evaluations.json"
    measured = json.loads(evaluations.read_text()) if evaluations.is_file() else {}
    training = {key: value for key, value in config.items() if key != "scenario"}
    calibration = folder / CALIBRATION
    if calibration.is_file():
        training["calibration"] = json.loads(calibration.read_text(encoding="utf-8"))
    return load_policy(folder), Scenario.model_validate(config["scenario"]), training, measured


def winner_of(evaluation: Path) -> tuple[str, dict[str, Any]]:
    """The spec of the policy that won an evaluation, and its figures there.

    Raises
    ------
    PolicyError
        If that is no evaluation of single settings of policies.
    """
    try:
        content = json.loads(evaluation.read_text(encoding="utf-8"))
        scenario = Scenario.model_validate(content["scenario"])
        rows = {each["label"]: each["figures"] for each in content["policies"]}
        figures = {
            label: (row["attainment"]["value"], row["gpu_seconds"]["value"])
            for label, row in rows.items()
        }
        label, _ = winner(figures, target(scenario))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(f"{evaluation} is no evaluation.json of one scenario") from error
    return label, {"figures": rows[label], "seeds": content["seeds"], "scenario": scenario.name}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be exported is one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m agents.export",
        description="Write a bundle for the runtime scheduler.",
        epilog="example: python -m agents.export runs/x bundles/x",
    )
    parser.add_argument(
        "policy",
        help="folder of a training run, a rule such as latency-bound+symphony, or an "
        "evaluation.json, whose winner is taken",
    )
    parser.add_argument("bundle", type=Path, help="folder to write")
    parser.add_argument(
        "--scenario",
        help="of a rule, whose tables it is bound to; what it was tuned for, or sd-mobile",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override the scenario"
    )
    options = parser.parse_args(arguments)
    try:
        manifest = _export(options)
    except (PolicyError, ProfileError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    size = sum(entry.bytes for entry in manifest.files.values())
    print(
        f"{options.bundle}: {manifest.kind} policy {manifest.name} for {manifest.scenario.name}, "
        f"{len(manifest.actions.hold)} actions, {size / 1e3:.0f} kB"
    )


def _export(options: argparse.Namespace) -> Manifest:
    overrides = parse_overrides(options.set)
    spec, won = options.policy, None
    if spec.endswith(".json"):
        spec, won = winner_of(Path(spec))
        print(f"{options.policy}: {spec} won", file=sys.stderr)
    kind, _, reference = spec.partition(":")
    folder = Path(reference_and_settings(reference)[0] if kind == "ppo" else spec)
    if folder.is_dir():
        policy, scenario, training, evaluation = load_run(folder)
        if options.scenario or overrides:
            raise PolicyError(f"run {folder} is exported for the scenario that it was trained on")
        evaluation = evaluation | ({"won": won} if won else {})
        return export(policy, scenario, options.bundle, training=training, evaluation=evaluation)
    policy = make_policy(spec)
    tuned = read_tuned(tuned_path(reference)) if kind == "tuned" else None
    made_for = tuned.scenario if tuned else DEFAULT_SCENARIO
    if isinstance(policy, Tree):
        made_for = policy.content.scenario
    scenario = load_scenario(options.scenario or made_for, overrides)
    if isinstance(policy, Tree):
        grown = policy.content.model_dump(mode="json", exclude={"measured"}, exclude_none=True)
        measured = policy.content.measured
        return export(policy, scenario, options.bundle, training=grown, evaluation=measured)
    if tuned is None:
        return export(policy, scenario, options.bundle, evaluation={"won": won} if won else None)
    said = tuned.model_dump(mode="json")
    measured = {key: said.pop(key) for key in MEASURED}
    return export(policy, scenario, options.bundle, training=said, evaluation=measured)


if __name__ == "__main__":
    main()
