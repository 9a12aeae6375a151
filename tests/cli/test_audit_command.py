"""`featlab audit` on tiny nets and data: its page and files, going on after a stop, and what it refuses."""

import json
import re

import numpy as np
import pytest

from featlab.audit import run as running
from featlab.cli import main

from audit_cases import lights

NET = """
import sys
sys.path.insert(0, {tests!r})
from audit_cases import trained

def net():
    return trained()

def three_channels():
    return trained(shape=(3, 8, 8))

def four_classes():
    return trained(classes=4)

def broken():
    made = trained()
    next(made.parameters()).data.fill_(float("nan"))
    return made
"""
SMALL = (
    "--images",
    8,
    "--units",
    3,
    "--inversions",
    2,
    "--saliency",
    2,
    "--mistakes",
    1,
    "--suite",
    "quick",
    "--device",
    "cpu",
)


def call(capsys, *arguments, status=0):
    with pytest.raises(SystemExit) as leave:
        main(["audit", *map(str, arguments)])
    said = capsys.readouterr()
    assert leave.value.code == status, said.err
    return said.out if status == 0 else said.err


def sentences(said):
    """The lines on stderr that are no progress."""
    return [line for line in said.splitlines() if line.startswith("featlab: ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory, request):
    """A folder with a user's own nets, and data for them."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "nets.py").write_text(NET.format(tests=str(request.config.rootpath / "tests")))
    for name, data in (("some", lights(24)), ("one", lights(24).select(lights(24).labels.eq(1).nonzero()[:, 0]))):
        pixels, labels = data.tensors()
        np.savez(folder / f"{name}.npz", images=pixels.numpy(), labels=labels.numpy())
    return folder


def arguments(place, net="net", data="some"):
    return (f"{place}/nets.py:{net}", "--data", f"npz:{place}/{data}.npz", *SMALL)


@pytest.fixture(scope="module")
def run(place):
    """A finished run of two models beside each other."""
    out = place / "run"
    with pytest.raises(SystemExit) as leave:
        main(["audit", *map(str, arguments(place)), "--compare", f"{place}/nets.py:net", "--out", str(out)])
    assert leave.value.code == 0
    return out


def test_a_run_is_a_folder_with_a_page(run):
    assert {each.name for each in run.iterdir()} == {"run.json", "metrics.jsonl", "images", "parts", "report.html"}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["part"] for row in rows] == [*running.STAGES] * 2
    assert len(json.loads((run / "run.json").read_text())["result"]["audits"]) == 2
    page = (run / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#|https://)""", page)
    assert 'src="http' not in page
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert len(titles) == 12  # Eleven sections, and the comparison.
    assert (run / "images").is_dir()
    assert list((run / "images").glob("*.png"))
    assert "NaN" not in page.partition("<pre")[0]


def test_the_same_command_goes_on_and_others_are_refused(run, place, capsys, monkeypatch):
    page = (run / "report.html").read_text()
    (run / "report.html").unlink()

    def never(subject, parts):
        raise AssertionError("a part that was kept is made again")

    monkeypatch.setattr(running, "STAGES", {name: (kind, never) for name, (kind, _) in running.STAGES.items()})
    same = (*arguments(place), "--compare", f"{place}/nets.py:net", "--out", run)
    said = json.loads(call(capsys, *same, "--json"))
    assert [each["label"] for each in said["audits"]] == [f"{place}/nets.py:net (1)", f"{place}/nets.py:net (2)"]
    assert (run / "report.html").read_text() == page
    refused = call(capsys, *same, "--seed", 7, status=2)
    assert "holds a run with other arguments" in refused
    assert len(sentences(refused)) == 1


@pytest.mark.parametrize(
    ("net", "data", "sentence"),
    [
        ("three_channels", "some", "takes images of 3 x 8 x 8 and"),
        ("four_classes", "some", "has 4 classes and"),
        ("broken", "some", "answers NaN or infinity to 24 of 24 images"),
        ("net", "one", "of one class"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence_and_nothing_is_written(place, capsys, net, data, sentence):
    out = place / "refused"
    said = call(capsys, *arguments(place, net, data), "--out", out, status=2)
    assert sentence in said
    assert len(sentences(said)) == 1
    assert not out.exists()


def test_other_refusals(place, capsys):
    assert "no layer 'layer9'" in call(capsys, *arguments(place), "--layer", "layer9", "--out", place / "x", status=2)
    assert "suite must be one of" in call(capsys, *arguments(place)[:-4], "--suite", "slow", status=2)
    (place / "full").mkdir()
    (place / "full" / "notes.txt").write_text("mine")
    assert "holds no run" in call(capsys, *arguments(place), "--out", place / "full", status=2)
