"""The table of tasks: every measure has its rows, no net judges itself, and what is shown is what was found."""

import json
import math
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

import featlab as fl
from benchmarks import tables
from benchmarks.__main__ import main
from benchmarks.quality import study as studies
from benchmarks.quality.study import LESS, NETS, ROBUST, STANDARD, Study, difference, found_of
from benchmarks.quality.tasks import SIDE, TASKS, holes
from benchmarks.rows import Row, read
from featlab.evaluation import Accuracy
from featlab.intervals import Estimate


def built(seed, channels):
    arguments = {"channels": channels, "strides": [2, 2], "pool": True}
    classes = [str(number) for number in range(10)]
    return fl.build(
        "small_cnn", mean=0.3, std=0.3, classes=classes, shape=(1, 28, 28), arguments=arguments, seed=seed
    ).eval()


@pytest.fixture
def small(monkeypatch):
    """A study of three nets that know nothing."""
    images, labels = fl.load_data("fashion-mini", train=False, count=20)
    nets = {name: built(seed, [8, 8]) for seed, name in enumerate(NETS)}
    made = Study(
        nets, built(2, [4, 4]), built(3, [4, 4]), images, labels, fl.open_data("fashion-mini", train=True, count=40)
    )
    monkeypatch.setattr(studies.Study, "of", staticmethod(lambda count, device: made))
    return made


def test_one_command_measures_every_task_with_a_row_for_each_net_and_baseline(small, tmp_path):
    path, drawn = tmp_path / "rows.json", tmp_path / "pictures"
    line = ["tasks", "--quick", "--only", "^(gener|super|in-p|trans|rest)", "--json", str(path)]
    done = CliRunner().invoke(main, [*line, "--pictures", str(drawn)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = read(path)
    assert {row.name.partition(":")[0] for row in rows} == set(TASKS)
    assert len(list(drawn.glob("*.png"))) == len(TASKS)
    for name, group in tables.by_name(rows):
        baselines = set(group) - {ROBUST, STANDARD, LESS}
        assert {ROBUST, STANDARD} <= set(group), name
        assert baselines, name
        assert (LESS in group) == ("in the judge" not in name), name
        for row in group.values():
            if row.found["value"] is not None:
                assert row.found["low"] <= row.found["value"] <= row.found["high"], row
        if LESS in group and group[LESS].found["value"] is not None:
            apart = group[ROBUST].found["value"] - group[STANDARD].found["value"]
            assert group[LESS].found["value"] == pytest.approx(apart, abs=1e-6)
    changed = next(group for name, group in tables.by_name(rows) if name == "in-painting: greatest change outside")
    assert changed["biharmonic"].found["value"] == 0.0
    assert "What is made of tasks" in done.output


def test_a_net_of_the_table_cannot_be_its_judge(small):
    itself = replace(small, judge=small.nets[ROBUST])
    with pytest.raises(ValueError, match="independent of the net"):
        itself.judged(itself.labels)["judge accuracy"](ROBUST, itself.images)
    assert itself.judged(itself.labels)["judge accuracy"]("bicubic", itself.images).dtype == torch.bool


def test_each_image_has_one_hole_whatever_the_batch():
    images = torch.zeros(50, 1, 28, 28)
    mask = holes(images)
    assert (mask.sum(dim=(1, 2, 3)) == SIDE**2).all()
    assert torch.equal(holes(images[:7]), mask[:7])
    corners = {tuple(each.nonzero()[0, 1:].tolist()) for each in mask}
    assert len(corners) > 30
    assert all(0 <= place <= 28 - SIDE for corner in corners for place in corner)


def test_what_was_found_has_its_interval():
    right = torch.tensor([True] * 8 + [False] * 2)
    expected = Accuracy.of(right)
    assert found_of(right) == {"value": 0.8, "low": expected.low, "high": expected.high, "n": 10}
    scores = torch.tensor([1.0, 3.0])
    assert found_of(scores) == pytest.approx({"value": 2.0, "low": 2 - 1.959964, "high": 2 + 1.959964, "n": 2})
    assert found_of(torch.tensor([math.inf, 1.0]))["value"] is None
    assert found_of(Estimate(1.0, 0.5, 1.5)) == {"value": 1.0, "low": 0.5, "high": 1.5}
    assert difference({ROBUST: right, STANDARD: ~right}).value == pytest.approx(0.6)
    assert difference({ROBUST: Estimate(1, 0, 2), STANDARD: Estimate(1, 0, 2)}) is None


def test_the_table_shows_nets_difference_and_baselines():
    def row(who, value, low, high):
        return Row(bench="tasks", name="x: y", provider=who, found={"value": value, "low": low, "high": high})

    given = [row(ROBUST, 0.9, 0.8, 0.95), row(STANDARD, 0.5, 0.4, 0.6), row(LESS, 0.4, 0.3, 0.5)]
    given += [row("bicubic", 21.5, 20.25, 22.75), row("none", None, None, None)]
    assert tables.sections(given) == {"quality": given}
    line = tables.quality_table(given).splitlines()[-1]
    assert "| x: y | 0.900 [0.800, 0.950] | 0.500 [0.400, 0.600] | 0.400 [0.300, 0.500] |" in line
    assert line.endswith("| bicubic 21.50 [20.25, 22.75]; none infinite |")
    assert json.dumps(given[-1].found) == '{"value": null, "low": null, "high": null}'
