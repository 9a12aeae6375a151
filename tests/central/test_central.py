"""The central experiment in miniature: every part on real images, what it writes, and that it goes on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from featlab.central.claims import claims
from featlab.central.experiment import SEEDS

TINY = """
threat_model = "l2"
eps = 1.0
curve = [0.0, 0.5, 1.0]
suite = "quick"
train_count = 200
test_count = 100
batch_size = 100
large_eps = 4.0
net = { architecture = "small_cnn", arguments = { channels = [4, 8], strides = [2, 2] } }
standard = { epochs = 3, lr = 0.1, batch_size = 50 }
robust = { epochs = 2, lr = 0.1, batch_size = 50 }
inner = { steps = 2, step_size = 0.7 }
perturb = { steps = 4, step_size = 0.4 }
represent = { steps = 4, step_size = 0.5 }
d_rand = { epochs = 2, lr = 0.1, batch_size = 50 }
d_det = { epochs = 2, lr = 0.1, batch_size = 50 }
d_r = { epochs = 2, lr = 0.1, batch_size = 50 }
d_nr = { epochs = 2, lr = 0.1, batch_size = 50 }
"""


def demo(folder, *more):
    (folder / "tiny.toml").write_text(TINY)
    arguments = ["demo", "--recipe", str(folder / "tiny.toml"), "--device", "cpu", *map(str, more)]
    # A shell's background jobs, and what they start, ignore SIGINT unless told otherwise.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from featlab.cli import main; main({arguments!r})"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with demo(folder, "--out", folder / "run", "--json", folder / "out.json") as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, json.loads((folder / "out.json").read_text()), out


def is_accuracy(value, n):
    assert set(value) - {"eps"} == {"accuracy", "low", "high", "n"}
    assert 0 <= value["low"] <= value["accuracy"] <= value["high"] <= 1
    assert value["n"] == n


@pytest.mark.slow
def test_the_result_has_every_number_of_the_experiment(whole):
    _, result, out = whole
    for net in ("standard", "robust"):
        is_accuracy(result[net]["clean"], 100)
        assert [point["eps"] for point in result[net]["robust"]] == [0.0, 0.5, 1.0]
        shares = [point["accuracy"] for point in result[net]["robust"]]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] == result[net]["clean"]["accuracy"]
    for name in ("d_rand", "d_det"):
        row = result["constructed"][name]
        for key in ("test", "noise_control", "mislabel_control", "shifted", "second_seed"):
            is_accuracy(row[key], 100)
        is_accuracy(row["attack_success"], 200)
        assert 0 < row["mean_norm"] <= 1.0
        assert row["noise_mean_norm"] == pytest.approx(row["mean_norm"], rel=1e-3)
    for name in ("d_r", "d_nr"):
        is_accuracy(result["constructed"][name]["test"], 100)
        assert len(result["constructed"][name]["robust"]) == 3
    assert result["eps"] == 1.0
    assert result["peak_rss_bytes"] > 2**26
    assert {"data", "device", "seconds", "threat_model", "seeds", "versions", "recipe"} <= set(result)
    assert "D_rand" in out


@pytest.mark.slow
def test_the_run_folder_is_complete_and_nothing_unfinished_is_left(whole):
    folder, result, _ = whole
    run = folder / "run"
    assert {path.name for path in run.iterdir()} == {"run.json", "metrics.jsonl", "report.html", "images", "nets"}
    assert json.loads((run / "run.json").read_text()) == result
    assert {path.stem for path in (run / "nets").iterdir()} == set(SEEDS)
    assert len(list((run / "images").iterdir())) == 4
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {row["net"] for row in rows} == set(SEEDS)
    page = (run / "report.html").read_text()
    assert page.count("data:image/png") > 100


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(whole, tmp_path):
    _, expected, _ = whole
    with demo(tmp_path, "--out", tmp_path / "run") as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "nets" / "d_rand.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    kept = (tmp_path / "run" / "nets" / "d_rand.safetensors").stat().st_mtime_ns
    assert not (tmp_path / "run" / "report.html").exists()
    with demo(tmp_path, "--out", tmp_path / "run", "--seed", "1") as other:
        _, err = other.communicate(timeout=120)
    assert other.returncode == 2
    assert "unfinished run with other arguments" in err
    with demo(tmp_path, "--out", tmp_path / "run") as again:
        _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert (tmp_path / "run" / "nets" / "d_rand.safetensors").stat().st_mtime_ns == kept
    result = json.loads((tmp_path / "run" / "run.json").read_text())
    for key in ("standard", "robust", "constructed", "checks", "seeds"):
        assert result[key] == expected[key], key


@pytest.mark.slow
def test_interrupting_is_one_line_and_can_be_continued(tmp_path):
    with demo(tmp_path, "--out", tmp_path / "run") as process:
        process.stderr.readline()  # The first stage is done.
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert (tmp_path / "run" / "work" / "terms.json").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with demo(tmp_path, "--out", tmp_path / "run") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "not empty and holds no run" in err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def point(accuracy, low, high):
    return {"accuracy": accuracy, "low": low, "high": high, "n": 100}


def made_up(**changes):
    curve = [{"eps": eps, **point(0.5, 0.4, 0.6)} for eps in (0.5, 1.0)]
    lost = [{"eps": eps, **point(0.1, 0.05, 0.2)} for eps in (0.5, 1.0)]
    row = {"test": point(0.5, 0.4, 0.6), "noise_control": point(0.1, 0.05, 0.2), "second_seed": point(0.5, 0.4, 0.6)}
    row["mislabel_control"] = point(0.1, 0.05, 0.2)
    return {
        "eps": 1.0,
        "classes": 10,
        "standard": {"clean": point(0.9, 0.8, 0.95), "robust": lost},
        "robust": {"clean": point(0.8, 0.7, 0.9), "robust": curve},
        "constructed": {
            "d_rand": {**row, **changes},
            "d_det": row,
            "d_r": {"test": point(0.5, 0.4, 0.6), "robust": curve},
            "d_nr": {"test": point(0.5, 0.4, 0.6), "robust": lost},
        },
    }


def test_claims_are_seen_only_where_intervals_are_apart():
    assert all(claim.seen for claim in claims(made_up()))
    overlapping = claims(made_up(noise_control=point(0.35, 0.3, 0.41)))
    assert [claim.seen for claim in overlapping].count(False) == 2  # D_rand itself, and its second seed.
    assert [claim.seen for claim in claims(made_up(mislabel_control=point(0.35, 0.3, 0.41)))].count(False) == 1
    failed = made_up()
    failed["standard"]["robust"], failed["robust"]["robust"] = failed["robust"]["robust"], failed["standard"]["robust"]
    assert not claims(failed)[0].seen


def test_saliency_and_rows_of_pictures_are_of_every_class():
    from featlab.central.pictures import first_of_each_class

    labels = torch.tensor([2, 2, 0, 1, 0, 3])
    assert first_of_each_class(labels, at_most=3).tolist() == [2, 3, 0]


def test_every_net_has_its_own_seed():
    assert len(set(SEEDS)) == len(SEEDS) == 12
