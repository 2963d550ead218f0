from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from agents.bounds import clairvoyant_bound
from evaluate import _record_files, main
from splitenv.scenario import load_scenario

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


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pieces in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("evaluate.default_folder", lambda: folder)


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


def test_each_policys_gap_to_the_bound_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = "all-cloud,joint-greedy"

    assert run("--policies", specs, "--out", str(tmp_path)) == 0

    printed = " ".join(capsys.readouterr().out.split())
    said = json.loads((tmp_path / "evaluation.json").read_text())
    floor = clairvoyant_bound(load_scenario("sd-mobile", {"decisions": 200, "load": 0.8}), 2)
    for policy in said["policies"]:
        figures = {name: figure["value"] for name, figure in policy["figures"].items()}
        least = floor.at(figures["attainment"])
        assert figures["bound"] == pytest.approx(least, rel=1e-3)
        assert figures["above_bound"] == pytest.approx(
            floor.gap(figures["gpu_cost"], figures["attainment"]), abs=0.005
        )
    assert said["bound"]["seeds"] == [0, 1]
    assert said["bound"]["words"]["0.99"].partition("; ")[2].partition(",")[0] in printed
    assert "three objectives" in printed


def test_the_bound_covers_as_many_episodes_as_asked_for_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--policies", "all-cloud", "--out", str(tmp_path), "--json", "-"]

    assert run(*arguments, "--bound-episodes", "1") == 0
    one = json.loads(capsys.readouterr().out)
    assert run(*arguments, "--bound-episodes", "0") == 0
    none = json.loads(capsys.readouterr().out)

    assert one["bound"]["episodes"] == 1
    assert none["bound"] is None
    assert none["policies"][0]["figures"]["above_bound"]["value"] is None


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


def judge(tmp_path: Path, *arguments: str) -> int:
    return run(
        "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--processes", "1",
        *arguments,
    )  # fmt: skip


def test_points_sweep_the_policies_of_one_scenario(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--policies", "latency-bound,all-device", "--points", "3"]

    assert judge(tmp_path, *arguments) == 0
    first = capsys.readouterr()
    assert judge(tmp_path, *arguments, "--json", "-") == 0
    second = capsys.readouterr()

    assert "latency-bound serves 99% in time with" in " ".join(first.out.split())
    assert "played 7 pieces" in first.err  # the bound is one of them
    assert "played 0 pieces" in second.err
    (cell,) = json.loads(second.out)["cells"]
    settings = {policy["label"]: policy["curve"] for policy in cell["policies"]}
    assert [s["policy"]["parameters"]["margin"] for s in settings["latency-bound"]] == [0, 0.2, 0.5]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "evaluation.csv",
        "evaluation.json",
        "sd-mobile-nominal.png",
    ]


def test_a_suite_is_judged_in_every_load_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "toy.yaml"
    suite.write_text(
        "{name: toy, reference: latency-bound, scenarios: [sd-mobile], policies: [latency-bound], "
        "loads: {half: {nominal: 0.5}, over: {capacity: 1.1}}}"
    )
    with pytest.raises(SystemExit) as exit_:
        main(
            ["--suite", str(suite), "--policies", "all-device", "--episodes", "2", "--json",
             str(tmp_path / "all.json"), "--cache", str(tmp_path / "cache"), "--out",
             str(tmp_path / "out"), "--processes", "1", "--set", "decisions=400"]
        )  # fmt: skip

    assert not exit_.value.code
    written = json.loads((tmp_path / "all.json").read_text())
    assert [(cell["scenario"], cell["load"]) for cell in written["cells"]] == [
        ("sd-mobile", "half"),
        ("sd-mobile", "over"),
    ]
    over = written["cells"][1]
    assert over["requests_per_second"] == pytest.approx(1.1 * over["capacity"])
    assert [policy["label"] for policy in over["policies"]] == [
        "all-cloud",
        "latency-bound",
        "all-device",
    ]
    rows = (tmp_path / "out" / "evaluation.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 3
    assert "Nobody serves 99% in time" in " ".join(capsys.readouterr().out.split())


def test_what_a_cap_leaves_imprecise_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.MOST_EPISODES", 4)

    code = run("--policies", "joint-greedy", "--precision", "0.0001", "--out", str(tmp_path))

    assert code == 0
    assert "4 episodes, no more than 4 are played" in capsys.readouterr().err
    assert json.loads((tmp_path / "evaluation.json").read_text())["episodes"] == 4


def test_an_interruption_says_where_what_was_finished_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agents.items.tally", interrupted)

    assert judge(tmp_path, "--points", "3", "--policies", "all-cloud") == 130
    said = capsys.readouterr().err
    assert f"what was finished is kept in {tmp_path / 'cache'}" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --scenario or --suite"),
        (["--scenario", "sd-mobile", "--suite", "standard"], "give either --scenario or --suite"),
        (["--suite", "standart"], "unknown suite 'standart'; did you mean 'standard'?"),
        (["--suite", "standard", "--points", "5"], "--points goes with --scenario"),
        (["--suite", "standard", "--records", "x"], "--records goes with --scenario"),
        (["--scenario", "sd-mobile", "--with-lookahead"], "--with-lookahead goes with --suite"),
        (["--suite", "standard", "--policies", "nobody"], "unknown policy 'nobody'"),
        (["--suite", "standard", "--set", "laod=1"], "there is no field 'laod'"),
        (["--suite", "standard", "--cache", __file__], "--cache must name a folder"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--out", str(tmp_path / "out")])

    said = capsys.readouterr().err
    assert exit_.value.code == 1
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
