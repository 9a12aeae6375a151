"""Runs go on where they were stopped, and refuse what is not theirs."""

import json

import pytest
import torch

from featlab.files import read_tensors, write_tensors
from featlab.runs import Ledger, Run

TERMS = {"command": "test", "specs": ("a", "b"), "seed": 0}


def test_a_run_begins_goes_on_and_is_finished(tmp_path):
    folder = tmp_path / "run"
    first = Run.open(folder, TERMS)
    assert first.result is None
    first.log({"part": 1})
    again = Run.open(folder, TERMS)
    assert again.result is None
    again.log({"part": 2})
    again.finish({"share": 0.5})
    assert Run.open(folder, TERMS).result == {"share": 0.5}
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == [
        {"part": 1},
        {"part": 2},
    ]
    assert json.loads((folder / "run.json").read_text())["terms"]["specs"] == ["a", "b"]


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path):
    Run.open(tmp_path / "run", TERMS).log({"part": 1})
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"part": ')
    Run.open(tmp_path / "run", TERMS).log({"part": 2})
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["part"] for line in lines] == [1, 2]


@pytest.mark.parametrize("other", [{**TERMS, "seed": 1}, {"command": "test"}, {**TERMS, "more": True}])
def test_other_terms_are_refused_by_name(tmp_path, other):
    Run.open(tmp_path / "run", TERMS)
    with pytest.raises(ValueError, match=r"with other arguments \((seed|specs|more) was .* and is .* now\)"):
        Run.open(tmp_path / "run", other)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("notes.txt", "mine", "is not empty and holds no run"),
        ("run.json", "[1, 2]", "is that of another command"),
        ("run.json", '{"seeds": 1}', "is that of another command"),
        ("run.json", '{"terms', "is not whole JSON"),
    ],
    ids=["other files", "list", "other command", "cut off"],
)
def test_a_folder_of_anything_else_is_refused_and_left_alone(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Run.open(tmp_path, TERMS)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, text)]


def test_a_ledger_keeps_columns_and_what_is_unknown(tmp_path):
    path = tmp_path / "parts" / "columns.safetensors"
    ledger = Ledger.open(path, TERMS, every=0.0)
    column = ledger.column("verdicts", 5, unknown=-1, dtype=torch.int8)
    column[:2] = 1
    ledger.save()
    column[2:] = 0  # Not saved.
    again = Ledger.open(path, TERMS)
    assert again.column("verdicts", 5, unknown=-1, dtype=torch.int8).tolist() == [1, 1, -1, -1, -1]
    with pytest.raises(ValueError, match="seed was 0 and is 7 now"):
        Ledger.open(path, {**TERMS, "seed": 7})


def test_a_ledger_is_written_only_so_often_and_when_told(tmp_path):
    ledger = Ledger.open(tmp_path / "columns.safetensors", TERMS, every=1e6)
    ledger.saved = 1e12
    ledger.column("verdicts", 3, unknown=-1, dtype=torch.int8)
    ledger.save()
    assert list(tmp_path.iterdir()) == []
    ledger.save(now=True)
    assert read_tensors(tmp_path / "columns.safetensors")[0]["verdicts"].tolist() == [-1] * 3


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = Ledger.open(None, TERMS)
    ledger.column("verdicts", 3, unknown=-1, dtype=torch.int8)
    ledger.save(now=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_no_ledger(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"weight": torch.zeros(3)}, {})
    with pytest.raises(ValueError, match="command was null"):
        Ledger.open(path, TERMS)
