"""Tuned policies as files: a rule, the values found for its parameters, and how they were found.

``agents/tuned/<scenario>/<policy>.yaml`` are shipped; a spec such as
``tuned:sd-mobile/joint-greedy+slack`` names such a one, ``tuned:PATH.yaml`` any other.
"""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from agents.policy import Policy
from agents.registry import PolicyError, make_rule
from splitenv.files import write_text
from splitenv.profiles.figures import Frozen, ProfileError, read_profile
from splitenv.provenance import plain
from splitenv.runtime.manifest import Sha256
from splitenv.scenario import Scenario, load_scenario

FOLDER = Path(__file__).resolve().parent / "tuned"
"""The tuned policies that are shipped."""

MEASURED = ("reached", "attainment", "within", "gpu_seconds", "gpu_cost", "saving")
"""Fields of a tuned file that say what the policy was measured to do."""

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Seeds(Frozen):
    """Seeds that a policy was tuned with: the first, and how many at most."""

    training: tuple[int, int]
    validation: tuple[int, int]


class Tuned(Frozen):
    """What a tuned file says.

    Attributes
    ----------
    policy, parameters
        The rule by name, and the values that were found.
    scenario
        Name of the scenario that it was tuned for.
    scenario_digest, profile_digest
        Of what was simulated, see :func:`world_digest`, and of the profiles behind it.
    study
        Digest of the question: all that the answer depends on but the number of trials.
    target
        Attainment sought: less than was asked for where nobody could have that.
    reached
        Whether it is had: the lower end of the attainment's 95% interval is no less.
    attainment, within
        Share of requests in time, and half its 95% interval.
    gpu_seconds, gpu_cost
        GPU seconds a request; and GPU cost a request, in all-cloud requests, which was minimised.
    saving
        Share of all-cloud's GPU cost that it saves.
    trials
        Settings tried.
    seeds
        What it was tuned with; attainment, GPU seconds and saving are those of validation.
    provenance
        Code, time and versions.
    """

    # No spec with a colon: a tuned file names a rule, no other file.
    policy: Annotated[str, Field(pattern="^[^:,]+$")]
    parameters: dict[str, float]
    scenario: str
    scenario_digest: Sha256
    profile_digest: Sha256
    study: Sha256
    target: Share
    reached: bool
    attainment: Share
    within: Annotated[float, Field(ge=0)]
    gpu_seconds: Annotated[float, Field(ge=0)]
    gpu_cost: Annotated[float, Field(ge=0)]
    saving: float
    trials: Count
    seeds: Seeds
    provenance: dict[str, Any]


def load_tuned(reference: str | Path) -> Policy:
    """Make the policy of a tuned file.

    Parameters
    ----------
    reference
        A path that ends in ``.yaml``, or the name of a shipped one:
        ``sd-mobile/joint-greedy+slack``.

    Raises
    ------
    PolicyError
        If there is none, or it cannot be used; one sentence.
    """
    path = tuned_path(reference)
    tuned = read_tuned(path)
    try:
        return make_rule(tuned.policy, tuned.parameters)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from error


def tuned_path(reference: str | Path) -> Path:
    """Find the file that a spec names after its colon.

    Raises
    ------
    PolicyError
        If it names none that is shipped.
    """
    name = str(reference)
    if not name:
        raise PolicyError("policy 'tuned' needs a file, such as tuned:sd-mobile/joint-greedy+slack")
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(
            str(p.relative_to(FOLDER).with_suffix("")).replace("\\", "/")
            for p in FOLDER.rglob("*.yaml")
        )
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "a path of your own ends in .yaml"
        raise PolicyError(f"no tuned policy {name!r} is shipped; {hint}")
    return path


def read_tuned(path: Path) -> Tuned:
    """Read a tuned file.

    Raises
    ------
    PolicyError
        If it cannot be read or lacks something; one sentence.
    """
    try:
        return read_profile(path, Tuned)
    except ProfileError as error:
        raise PolicyError(str(error)) from error


def write_tuned(path: Path, tuned: Tuned) -> None:
    """Write a tuned file, atomically.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    data = plain(tuned.model_dump(mode="json"))
    write_text(path, yaml.safe_dump(data, sort_keys=False, width=100, default_flow_style=None))


def world_digest(scenario: Scenario) -> str:
    """SHA-256 of what a scenario simulates.

    Title and note don't matter to it, nor does the violation price, which is computed from tuned
    files; nor does a field that has its default, so that a new one changes no digest.
    """
    content = scenario.model_dump(
        mode="json", exclude={"title", "note", "violation_price"}, exclude_defaults=True
    )
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def starting_rule(scenario: str) -> str | None:
    """Spec of the shipped rule that learning starts from, under whose dispatch it then runs.

    Of those that drop the hopeless, which is what overload asks for, the one whose requests cost
    least, violations at the scenario's price. None if none was tuned for it.
    """
    files = sorted((FOLDER / scenario).glob("*-drop.yaml"))
    if not files:
        return None
    price = load_scenario(scenario).violation_price

    def cost(path: Path) -> float:
        tuned = read_tuned(path)
        return tuned.gpu_cost + price * (1.0 - tuned.attainment)

    return f"tuned:{scenario}/{min(files, key=cost).stem}"
