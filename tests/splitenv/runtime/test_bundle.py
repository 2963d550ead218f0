"""A bundle is whole and fits, or is refused in one sentence; writing leaves nothing half-done."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitenv.runtime import BundleError
from splitenv.runtime import bundle as bundles
from splitenv.runtime.bundle import Bundle, read_bundle, write_bundle
from splitenv.runtime.manifest import FORMAT


@pytest.fixture
def copy(learned_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(learned_bundle, tmp_path / "copy"))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def resealed(bundle: Bundle, folder: Path, **changes: Any) -> Path:
    """Write a bundle that is wrong in content, but whole."""
    write_bundle(folder, replace(bundle, **changes))
    return folder


def test_a_bundle_that_was_written_can_be_read(learned_bundle: Path) -> None:
    bundle = read_bundle(learned_bundle)
    assert bundle.manifest.kind == "learned"
    assert bundle.manifest.format == FORMAT
    assert set(bundle.manifest.files) == {"tables.npz", "goldens.npz", "policy.onnx"}
    assert len(bundle.goldens.actions) == 256


def test_tables_survive_to_the_byte(rule_bundle: Path) -> None:
    from splitenv.scenario import load_scenario
    from splitenv.tables import build_tables

    read, built = read_bundle(rule_bundle).tables, build_tables(load_scenario("sd-mobile"))
    for name, expected in built._asdict().items():
        got = getattr(read, name)
        assert np.asarray(got).tobytes() == np.asarray(expected).tobytes(), name
        assert np.asarray(got).dtype == np.asarray(expected).dtype, name


@pytest.mark.parametrize("name", ["tables.npz", "goldens.npz", "policy.onnx"])
def test_a_corrupt_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert f"{name} is corrupt" in refusal(copy)


@pytest.mark.parametrize("name", ["tables.npz", "goldens.npz", "policy.onnx"])
def test_a_truncated_file_is_refused(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    assert f"{name} is truncated" in refusal(copy)


@pytest.mark.parametrize("name", ["manifest.json", "tables.npz", "goldens.npz", "policy.onnx"])
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert f"{name} is missing" in refusal(copy)


def test_a_file_that_is_not_listed_is_refused(copy: Path) -> None:
    (copy / "weights.pkl").write_bytes(b"")
    assert "'weights.pkl', which its manifest does not list" in refusal(copy)


def test_a_link_in_place_of_a_file_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "tables.npz").rename(tmp_path / "elsewhere.npz")
    (copy / "tables.npz").symlink_to(tmp_path / "elsewhere.npz")
    assert "tables.npz is no plain file" in refusal(copy)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_another_format_version_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda content: content.update(format=1))
    assert "format version 1; this version reads 2" in refusal(copy)


def test_a_manifest_that_is_not_json_is_refused(copy: Path) -> None:
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text[: len(text) // 2])
    assert "manifest.json is corrupt" in refusal(copy)


def test_a_manifest_that_was_changed_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda content: content.update(gpus=1))
    assert "not what its digest says" in refusal(copy)


def test_an_unknown_field_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda content: content.update(colour="red"))
    assert "colour" in refusal(copy)


@pytest.mark.parametrize("name", ["../tables.npz", "/etc/passwd", "a/b.npz"])
def test_a_name_that_leads_out_of_the_folder_is_refused(copy: Path, name: str) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["files"][name] = content["files"].pop("tables.npz")

    edit_manifest(copy, rename)
    assert "files" in refusal(copy)


def test_another_observation_schema_is_refused(learned_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(learned_bundle)
    other = bundle.manifest.observation.model_copy(update={"version": 99})
    manifest = bundle.manifest.model_copy(update={"observation": other})
    assert "schema version 99" in refusal(resealed(bundle, tmp_path / "b", manifest=manifest))


def test_another_action_table_is_refused(learned_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(learned_bundle)
    other = bundle.manifest.actions.model_copy(update={"hold_levels": [0.0, 0.9]})
    manifest = bundle.manifest.model_copy(update={"actions": other})
    assert "action table" in refusal(resealed(bundle, tmp_path / "b", manifest=manifest))


def test_tables_that_do_not_fit_the_manifest_are_refused(
    learned_bundle: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(learned_bundle)
    tables = bundle.tables._replace(action_hold=bundle.tables.action_hold * 0.5)
    assert "action table" in refusal(resealed(bundle, tmp_path / "b", tables=tables))


def test_tables_with_a_number_that_is_not_finite_are_refused(
    rule_bundle: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(rule_bundle)
    tables = bundle.tables._replace(norm=float("nan"))
    assert "not finite" in refusal(resealed(bundle, tmp_path / "b", tables=tables))


def test_a_policy_that_decides_otherwise_than_its_goldens_is_refused(
    rule_bundle: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(rule_bundle)
    actions = bundle.goldens.actions.copy()
    actions[:3] += 1
    goldens = replace(bundle.goldens, actions=actions)
    message = refusal(resealed(bundle, tmp_path / "b", goldens=goldens))
    assert "another action on 3 of its 256 goldens" in message


def test_a_graph_with_other_logits_is_refused(learned_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(learned_bundle)
    assert bundle.goldens.logits is not None
    goldens = replace(bundle.goldens, logits=bundle.goldens.logits + np.float32(0.01))
    assert "other logits" in refusal(resealed(bundle, tmp_path / "b", goldens=goldens))


def test_a_rule_that_nobody_offers_is_refused(rule_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(rule_bundle)
    assert bundle.manifest.rule is not None
    rule = bundle.manifest.rule.model_copy(update={"name": "oracle"})
    manifest = bundle.manifest.model_copy(update={"rule": rule})
    assert "the rule 'oracle'" in refusal(resealed(bundle, tmp_path / "b", manifest=manifest))


def test_objects_are_neither_written_nor_unpickled(rule_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(rule_bundle)
    with pytest.raises(BundleError, match="norm is no array of numbers"):
        write_bundle(tmp_path / "b", replace(bundle, tables=bundle.tables._replace(norm=object())))
    buffer = io.BytesIO()
    np.savez(buffer, observations=np.array([object()]))
    with pytest.raises(BundleError, match="is corrupt"):
        bundles._unpack("goldens.npz", buffer.getvalue(), {"observations"})


def test_writing_over_a_bundle_replaces_it(
    learned_bundle: Path, rule_bundle: Path, copy: Path
) -> None:
    write_bundle(copy, read_bundle(rule_bundle))
    assert read_bundle(copy).manifest.kind == "rule"
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_writing_over_something_else_is_refused(rule_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="exists and is no bundle"):
        write_bundle(tmp_path, read_bundle(rule_bundle))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_full_disk_leaves_nothing_behind(
    rule_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    fill_disk(monkeypatch, fails_at)
    with pytest.raises(BundleError, match="cannot be written: No space left on device"):
        write_bundle(tmp_path / "b", read_bundle(rule_bundle))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_bundle(
    rule_bundle: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch, 2)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(copy, read_bundle(rule_bundle))
    assert read_bundle(copy).manifest.kind == "learned"


def fill_disk(monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    written = []
    write = bundles._write_file

    def write_until_full(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == fails_at:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(bundles, "_write_file", write_until_full)
