from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from evaluate import _record_files, main

QUICK = [
    "--scenario",
    "sd-mobile",
    "--set",
    "decisions=200",
    "--set",
    "load=0.8",
    "--episodes",
    "2",
]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([*QUICK, *arguments])
    return int(exit_.value.code or 0)


def test_it_prints_a_table_and_writes_three_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"

    code = run("--policies", "all-cloud,latency-bound:margin=0.2", "--out", str(out))

    printed = capsys.readouterr()
    assert code == 0
    assert "latency-bound:margin=0.2" in printed.out
    assert "saved %" in printed.out
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.csv",
        "evaluation.json",
        "evaluation.png",
    ]


def test_json_goes_to_stdout_and_equals_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--policies", "joint-greedy", "--json", "-", "--out", str(tmp_path)) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "evaluation.json").read_text())
    assert [policy["label"] for policy in printed["policies"]] == ["joint-greedy"]


def test_a_policy_named_twice_is_evaluated_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--policies", "all-cloud,all-cloud", "--json", "-", "--out", str(tmp_path)) == 0

    assert len(json.loads(capsys.readouterr().out)["policies"]) == 1


def test_records_are_a_file_a_policy_with_every_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "records"
    specs = "all-cloud,latency-bound:margin=0.2"

    assert run(
        "--policies", specs, "--seed", "5", "--out", str(tmp_path / "out"), "--json", "-",
        "--records", str(folder),
    ) == 0  # fmt: skip

    figures = {
        policy["label"]: policy["figures"]
        for policy in json.loads(capsys.readouterr().out)["policies"]
    }
    assert sorted(path.name for path in folder.iterdir()) == [
        "all-cloud.parquet",
        "latency-bound-margin=0.2.parquet",
    ]
    for path in folder.iterdir():
        table = parquet.read_table(path)
        about = json.loads(table.schema.metadata[b"splitenv"])
        assert about["seeds"] == [5, 6]
        left_out = about["uncounted_requests_at_each_end"]
        counted = [row for row in table.to_pylist() if left_out <= row["index"] < 200 - left_out]
        in_time = sum(row["outcome"] == "in time" for row in counted)
        seconds = sum(row["gpu_seconds"] for row in counted)
        figure = figures[about["policy"]]
        assert table.num_rows == 400
        assert figure["attainment"]["value"] == pytest.approx(in_time / len(counted))
        assert figure["gpu_seconds"]["value"] == pytest.approx(seconds / len(counted))


def test_policies_whose_names_differ_in_signs_alone_keep_files_of_their_own() -> None:
    files = _record_files(Path("records"), ["ppo:runs/x", "ppo:runs-x", "ppo-runs:x"])
    assert [path.name for path in files.values()] == [
        "ppo-runs-x.parquet",
        "ppo-runs-x-.parquet",
        "ppo-runs-x--.parquet",
    ]


def test_pyarrow_is_needed_for_records_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out, records = tmp_path / "out", tmp_path / "records"

    assert run("--policies", "all-cloud", "--out", str(out), "--records", str(records)) == 1
    said = "error: records need pyarrow: pip install splitenv[records]\n"
    assert capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())
    assert run("--policies", "all-cloud", "--out", str(out)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "sd-mobil"], "unknown scenario 'sd-mobil'; did you mean 'sd-mobile'?"),
        (["--policies", "latency"], "unknown policy 'latency'"),
        (["--policies", "fixed:ratio=7"], "fixed: ratio must lie between 0 and 1, got 7"),
        (["--policies", ","], "--policies names no policy"),
        (["--set", "laod=1"], "there is no field 'laod'"),
        (["--set", "load=-1"], "load"),
        (["--records", "out.parquet"], "--records must name a folder, for one file a policy"),
        (["--records", __file__], "--records must name a folder, for one file a policy"),
        (["--records", f"{__file__}/records"], f"cannot write {__file__}/records/"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"

    code = run(*arguments, "--out", str(out))

    printed = capsys.readouterr()
    assert code == 1
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not out.exists()


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evaluation.json").write_text("older")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    code = run("--policies", "all-cloud", "--out", str(tmp_path))

    assert code == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
    assert (tmp_path / "evaluation.json").read_text() == "older"


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    code = run("--policies", "all-cloud", "--out", str(tmp_path / "file" / "out"))

    assert code == 1
    assert f"error: cannot write {tmp_path / 'file'}" in capsys.readouterr().err
