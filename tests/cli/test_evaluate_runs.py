"""`featlab evaluate` as a command: killed and gone on with, several sets, curves, checks, refusals."""

import json
import signal
import subprocess
import sys
import time
import warnings

import pytest

import featlab as fl
from featlab.cli import main

COUNT = ("--count", "60", "--data", "fashion-mini", "--device", "cpu", "--batch-size", "20")
SETS = ("--threat-model", "linf:eps=8/255", "--threat-model", "l2:eps=1/2")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A small net that knows something."""
    path = tmp_path_factory.mktemp("nets") / "net.safetensors"
    small = {"channels": [4, 8], "strides": [2, 2]}
    model = fl.build("small_cnn", mean=0.3, std=0.35, classes="0123456789", shape=(1, 28, 28), arguments=small, seed=0)
    data = fl.open_data("fashion-mini", train=True, count=1000)
    list(fl.train(model, data, schedule=fl.Schedule(epochs=3, lr=0.1, batch_size=50)))
    fl.save(model, path)
    return path


def call(capsys, *arguments, status=0):
    with pytest.raises(SystemExit) as leave:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    assert leave.value.code == status, said.err
    return said.out if status == 0 else said.err


def killed(arguments, sign):
    """Start a command, kill it as soon as `sign` holds, and say whether it was still at work."""
    program = f"from featlab.cli import main; main({list(map(str, arguments))!r})"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not sign():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode == -signal.SIGKILL


def test_a_killed_run_goes_on_to_the_same_result(net, capsys, tmp_path):
    command = ("evaluate", net, *COUNT, *SETS, "--suite", "quick", "--curve", "0.1", "--json")
    out = tmp_path / "run"
    assert killed((*command, "--out", out), lambda: any(out.glob("parts/verdicts*")))
    assert json.loads((out / "run.json").read_text())["result"] is None
    again = json.loads(call(capsys, *command, "--out", out))
    assert again == json.loads(call(capsys, *command))
    assert json.loads((out / "run.json").read_text())["result"] == again
    assert len((out / "metrics.jsonl").read_text().splitlines()) >= 2
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]  # No part of a file was left.


def test_sets_union_curve_and_checks_in_one_result(net, capsys):
    found = json.loads(call(capsys, "evaluate", net, *COUNT, *SETS, "--suite", "quick", "--curve", "16/255", "--json"))
    robust = [row["robust"]["accuracy"] for row in found["robust"]]
    assert found["union"]["accuracy"] <= min(robust)
    assert [row["curve"]["largest"] for row in found["robust"]] == [16 / 255] * 2
    points = found["robust"][0]["curve"]["points"]
    assert points[0]["accuracy"] == found["clean"]["accuracy"]
    at = next(point for point in points if point["eps"] == pytest.approx(8 / 255))
    assert abs(at["accuracy"] - robust[0]) <= 0.05
    assert {check["name"] for check in found["robust"][0]["checks"]} >= {"zero-gradients", "black-box-wins"}
    text = call(capsys, "evaluate", net, *COUNT, *SETS, "--suite", "quick", "--no-checks")
    assert "all 2 threat models  robust accuracy" in text
    assert "checks" not in text


def test_what_is_doubtful_is_printed_with_what_to_do(capsys, tmp_path, net):
    (tmp_path / "masked.py").write_text(
        "import featlab, torch\n"
        "class Masked(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        self.net = featlab.load({str(net)!r}, device='cpu')\n"
        "    def forward(self, images):\n"
        "        return self.net((images * 4).round() / 4)\n"
        "def make():\n"
        "    return Masked()\n"
    )
    spec = f"{tmp_path}/masked.py:make?shape=1,28,28"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evaluation warns of the gradients too.
        text = call(capsys, "evaluate", spec, *COUNT, "--threat-model", "linf:eps=0.2", "--suite", "quick")
    assert "! zero-gradients: " in text
    assert "BPDA" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--count", "50"), "data was"),
        (("--seed", "1"), "seed was 0 and is 1 now"),
        (("--threat-model", "l2:eps=1"), "threat_models was"),
        (("--suite", "pgd"), "suite was"),
    ],
)
def test_a_folder_of_another_run_is_refused_in_one_sentence(net, capsys, tmp_path, arguments, sentence):
    command = ("evaluate", net, *COUNT, "--threat-model", "linf:eps=8/255", "--suite", "quick", "--no-checks")
    call(capsys, *command, "--out", tmp_path / "run")
    said = call(capsys, *command, *arguments, "--out", tmp_path / "run", status=2)
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((*SETS, "--curve", "1", "--curve", "2", "--curve", "3"), "once for each threat model"),
        ((*SETS, "--curve", "much"), "must be a number"),
        (("--threat-model", "box", "--curve", "1"), "has no radius"),
    ],
)
def test_curves_that_cannot_be_are_refused(net, capsys, arguments, sentence):
    said = call(capsys, "evaluate", net, *COUNT, *arguments, status=2)
    assert sentence in said
