"""Finding, loading and checking profile files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from splitenv.profiles import catalogue
from splitenv.profiles.figures import ProfileError

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the shipped profiles to a directory of the test's own, and look there."""
    copy = tmp_path / "profiles"
    shutil.copytree(catalogue.profiles_root(), copy)
    monkeypatch.setattr(catalogue, "profiles_root", lambda: copy)
    return copy


def edit(path: Path, change: Edit) -> None:
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def test_every_shipped_model_device_and_gpu_is_without_fault() -> None:
    folders = ("models/", "devices/", "gpus/")
    assert [f for f in catalogue.check().faults if any(folder in f for folder in folders)] == []


def test_every_figure_of_models_devices_and_gpus_has_a_source_or_says_that_it_is_assumed() -> None:
    for kind in ("models", "devices", "gpus"):
        for name in catalogue.names(kind):
            for at, figure in catalogue.figures(catalogue.LOADERS[kind](name)):
                assert figure.source or (figure.kind == "assumed" and figure.rule), (name, at)


def test_the_counts_of_a_report_are_the_sum_over_its_profiles() -> None:
    counts = catalogue.check().figures["gpus"]
    profiles = [catalogue.load_gpu(name) for name in catalogue.names("gpus")]
    for kind in catalogue.FIGURE_KINDS:
        assert counts[kind] == sum(catalogue.count_figures(gpu)[kind] for gpu in profiles)


def test_a_profile_is_found_by_name_whatever_its_kind() -> None:
    assert catalogue.find("a100")[0] == "gpus"
    assert catalogue.find("galaxy-s24")[0] == "devices"


def test_a_load_is_cached() -> None:
    assert catalogue.load_model("sdxl-1.0") is catalogue.load_model("sdxl-1.0")


def test_an_unknown_name_lists_close_matches() -> None:
    with pytest.raises(ProfileError, match=r"^unknown gpu 'a1000'; did you mean .*a100"):
        catalogue.load_gpu("a1000")


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(ProfileError, match=r"'phones'; accepted: models, devices, gpus"):
        catalogue.names("phones")


def test_a_user_adds_a_profile_by_its_path(tmp_path: Path) -> None:
    mine = tmp_path / "devices" / "my-phone.yaml"
    mine.parent.mkdir()
    shutil.copy(catalogue.profiles_root() / "devices" / "galaxy-s24.yaml", mine)
    edit(mine, lambda data: data.update(name="my-phone"))
    device = catalogue.load_device(str(mine))
    assert device.name == "my-phone"
    assert device.unit_times(catalogue.load_model("regnet-y-8gf").chain()) is not None
    assert catalogue.find(str(mine))[0] == "devices"


def test_a_missing_path_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.yaml: cannot be read: No such file"):
        catalogue.load_gpu(str(tmp_path / "none.yaml"))


def negative_time(device: dict[str, Any]) -> None:
    device["models"]["stable-diffusion-1.5"]["units"]["denoise"]["value"] = -81.089


def unknown_field(device: dict[str, Any]) -> None:
    device["colour"] = "black"


def wrong_unit(device: dict[str, Any]) -> None:
    device["models"]["stable-diffusion-1.5"]["units"]["denoise"]["unit"] = "minutes"


def no_source(device: dict[str, Any]) -> None:
    del device["models"]["stable-diffusion-1.5"]["units"]["denoise"]["source"]


def other_name(device: dict[str, Any]) -> None:
    device["name"] = "galaxy-s42"


def unknown_source(device: dict[str, Any]) -> None:
    device["models"]["stable-diffusion-1.5"]["units"]["denoise"]["source"] = "hearsay"


def unknown_model(device: dict[str, Any]) -> None:
    device["models"]["regnet-z"] = {"like": "regnet-x-3.2gf"}


def in_a_circle(device: dict[str, Any]) -> None:
    device["models"]["regnet-x-3.2gf"] = {"like": "regnet-x-4gf"}
    device["models"] = {k: device["models"][k] for k in ("regnet-x-3.2gf", "regnet-x-4gf")}


def missing_kind(device: dict[str, Any]) -> None:
    del device["models"]["stable-diffusion-1.5"]["units"]["decode"]


DENOISE = "models.stable-diffusion-1.5.units.denoise"


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (negative_time, [f"{DENOISE}: must be a positive time, got -81.089 ms"]),
        (unknown_field, ["colour: Extra inputs are not permitted"]),
        (wrong_unit, [f"{DENOISE}: unit 'minutes' is not a time; accepted: s, ms, us"]),
        (no_source, [f"{DENOISE}: a figure that is measured must name its source"]),
        (other_name, ["name: must be the file's, 'galaxy-s24', got 'galaxy-s42'"]),
        (unknown_source, [f"{DENOISE}: source 'hearsay' is in no SOURCES file"]),
        (unknown_model, ["unknown model 'regnet-z'; did you mean regnet"]),
        (
            in_a_circle,
            ["models.regnet-x-3.2gf: like leads back", "models.regnet-x-4gf: like"],
        ),
        (missing_kind, ["units covers ['denoise', 'encode'] and needs fixed"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_check_says_in_one_sentence_what_is_wrong(
    root: Path, change: Edit, sentences: list[str]
) -> None:
    path = root / "devices" / "galaxy-s24.yaml"
    edit(path, change)
    faults = [fault for fault in catalogue.check().faults if str(path) in fault]
    assert len(faults) == len(sentences)
    for fault, sentence in zip(faults, sentences, strict=True):
        assert sentence in fault
        assert "\n" not in fault


def test_a_source_that_nobody_uses_is_a_fault(root: Path) -> None:
    entry = {"title": "t", "url": "u", "date": "2026", "licence": "none"}
    edit(root / "SOURCES.yaml", lambda data: data.update(idle=entry))
    assert f"{root}: source 'idle' is used by no profile" in catalogue.check().faults


def test_a_source_in_two_files_is_refused(root: Path) -> None:
    (root / "SOURCES-zz.yaml").write_text(
        "mlenergy_v2: {title: t, url: u, date: '2026', licence: none}\n"
    )
    sentence = f"{root}/SOURCES-zz.yaml: source 'mlenergy_v2' already stands in another file"
    assert catalogue.check().faults == [sentence]


def test_a_source_twice_in_one_file_is_refused(root: Path) -> None:
    with (root / "SOURCES.yaml").open("a") as file:
        file.write("mlenergy_v2: {title: t, url: u, date: '2026', licence: none}\n")
    with pytest.raises(ProfileError, match=r"SOURCES\.yaml: .*'mlenergy_v2' stands twice"):
        catalogue.sources()


def test_importing_the_library_draws_in_no_command_line_and_no_plots() -> None:
    heavy = {"typer", "rich", "matplotlib", "torch"}
    code = f"import sys, splitenv.profiles.catalogue; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
