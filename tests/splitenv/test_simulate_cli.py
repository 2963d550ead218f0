"""``python -m splitenv simulate``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from splitenv.cli import main

QUICK = ("simulate", "--scenario", "sd-mobile", "--seconds", "15")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([*QUICK, *arguments])
    return int(exit_.value.code or 0)


def embedded(page: str) -> dict[str, list[list[int]]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_it_prints_a_summary_and_writes_page_and_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, trace = tmp_path / "new" / "out.html", tmp_path / "out.json"
    policy = "latency-bound:margin=0.1"

    code = run("--policy", policy, "--timeline", str(page), "--trace", str(trace), "--json")

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["policy"] == policy
    assert found["requests"] == found["in_time"] + found["late"] + found["dropped"]
    drawn = embedded(page.read_text())
    assert len(drawn["requests"]) == found["requests"]
    assert len(drawn["batches"]) == found["batches"]
    assert json.loads(trace.read_text())["otherData"]["batches"] == found["batches"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["out.html", "out.json"]


def test_the_table_names_what_was_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--policy", "all-cloud", "--set", "load=1.4", "--seed", "2") == 0
    printed = capsys.readouterr().out
    for word in ("sd-mobile", "all-cloud", "in time", "GPU seconds", "mean batch"):
        assert word in printed


def test_records_have_a_row_for_every_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, policy = tmp_path / "new" / "out.parquet", "latency-bound:margin=0.1"

    assert run("--policy", policy, "--seed", "3", "--records", str(path), "--json") == 0

    printed = json.loads(capsys.readouterr().out)
    table = parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"splitenv"])
    assert table.num_rows == printed["requests"] == about["scenario"]["decisions"]
    assert table["outcome"].to_pylist().count("in time") == printed["in_time"]
    assert sum(table["gpu_seconds"].to_pylist()) == pytest.approx(printed["gpu_seconds"])
    assert max(table["arrival"].to_pylist()) <= 15.0
    assert (about["policy"], about["seconds"], about["seeds"]) == (policy, 15.0, [3])


def test_records_without_pyarrow_are_refused_before_playing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("splitenv.simulate_cli.simulate", lambda *_: pytest.fail("played"))
    assert run("--records", str(tmp_path / "out.parquet")) == 1
    said = "error: records need pyarrow: pip install splitenv[records]\n"
    assert capsys.readouterr().err == said


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    assert run("--timeline", str(page)) == 0
    text = page.read_text()
    assert not re.search(r"https?://", text)
    assert not re.search(r"""(?:src|href)\s*=|@import|\burl\(|\bfetch\(|\bimport\b""", text)
    assert "{{" not in text


def test_data_of_the_page_are_the_phases_in_microseconds(tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    assert run("--timeline", str(page)) == 0
    for request in embedded(page.read_text())["requests"]:
        ends = request[12][1::2]
        assert ends == sorted(ends)
        assert ends[-1] == request[2]


def test_a_scenario_of_your_own_cannot_end_the_data_or_the_title(tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "splitenv" / "scenarios" / "sd-mobile.yaml"
    text = source.read_text().replace("title: ", "title: '</title><script>{{data}} ", 1)
    text = text.replace("A100s\n", "A100s'\n", 1)
    mine, page = tmp_path / "mine.yaml", tmp_path / "out.html"
    mine.write_text(text)
    assert run("--scenario", str(mine), "--timeline", str(page)) == 0
    written = page.read_text()
    assert written.count("<script") == 2
    assert embedded(written)["requests"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "sd-mobil"], "did you mean 'sd-mobile'?"),
        (["--policy", "latency-bond"], "'latency-bond'"),
        (["--policy", "latency-bound:margin=much"], "PARAMETER=NUMBER"),
        (["--policy", "latency-bound:colour=1"], "no parameter 'colour'"),
        (["--seconds", "0"], "above 0"),
        (["--seconds", "nan"], "above 0"),
        (["--seconds", "soon"], "must be a number"),
        (["--seconds", "1e-6"], "no request arrives"),
        (["--seconds", "1e9"], "more than the 200000 requests"),
        (["--set", "decisions=10"], "--seconds"),
        (["--set", "lode=1"], "no field 'lode'"),
        (["--records", "out.csv"], "--records must end in .parquet, got out.csv"),
        (["--records", "a.parquet", "--trace", "a.parquet"], "name the same file, a.parquet"),
    ],
)
def test_what_cannot_be_played_is_one_sentence_and_nothing_is_written(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out.html"
    assert run(*arguments, "--timeline", str(page)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err
    assert not list(tmp_path.iterdir())


def test_an_unwritable_path_leaves_both_files_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, folder, file = tmp_path / "out.html", tmp_path / "folder", tmp_path / "file"
    page.write_text("before")
    file.write_text("a file")
    folder.mkdir()
    for option, path in (
        ("--trace", folder),
        ("--trace", file / "out.json"),
        ("--trace", page),
        ("--records", file / "out.parquet"),
    ):
        assert run("--timeline", str(page), option, str(path)) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert str(path) in printed.err
        assert printed.err.count("\n") == 1
        assert page.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "out.html"]
