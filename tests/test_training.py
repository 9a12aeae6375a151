"""Training: it learns, it is a function of its seed, and a kill changes nothing."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import featlab as fl

from known import Cube

SCRIPT = """
import sys, time, torch
sys.path.insert(0, {tests!r})
from pathlib import Path
from known import Cube
from test_training import make, problem
import featlab as fl
torch.set_num_threads(1)
model, data, schedule = make()
steps = 0
for epoch in fl.train(model, data, schedule=schedule, inner=problem(), checkpoint=Path(sys.argv[1]), every=0.0):
    print(epoch.number, flush=True)
    time.sleep({pause})
torch.save(model.state_dict(), sys.argv[2])
"""


def make():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(144, 2)
    )
    images = torch.rand(90, 1, 8, 8)
    labels = (images.mean(dim=(1, 2, 3)) > 0.5).long()
    schedule = fl.Schedule(epochs=6, lr=0.05, batch_size=20, augment="crop-flip", ema=0.9)
    return net, (images, labels), schedule


def problem():
    return fl.Adversary(Cube(0.02), steps=2, step_size=0.01)


def weights(path):
    return torch.load(path, weights_only=True)


def start(tmp_path, name, pause):
    code = SCRIPT.format(tests=str(Path(__file__).parent), pause=pause)
    arguments = [sys.executable, "-c", code, str(tmp_path / f"{name}.ckpt"), str(tmp_path / f"{name}.pt")]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_and_restarted_ends_in_the_same_weights(tmp_path):
    with start(tmp_path, "whole", 0) as whole:
        whole.stdout.read()
    assert whole.returncode == 0
    for kill_after in (1, 3):
        with start(tmp_path, "killed", 0.3) as run:
            for _ in range(kill_after):
                run.stdout.readline()
            time.sleep(0.05 * kill_after)
            os.kill(run.pid, signal.SIGKILL)
        assert not (tmp_path / "killed.pt").exists()
    with start(tmp_path, "killed", 0) as again:
        first_epoch_seen = again.stdout.read().splitlines()[0]
    assert again.returncode == 0
    assert int(first_epoch_seen) > 1  # It did go on from the checkpoint.
    whole, killed = weights(tmp_path / "whole.pt"), weights(tmp_path / "killed.pt")
    assert whole.keys() == killed.keys()
    for name in whole:
        assert torch.equal(whole[name], killed[name]), name


def run(**changes):
    model, data, schedule = make()
    options = {"schedule": schedule, "inner": problem(), "seed": 0} | changes
    records = list(fl.train(model, data, **options))
    return model, records


def test_a_run_is_a_function_of_its_seed():
    first, second, other = run()[0], run()[0], run(seed=1)[0]
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_channels_last_is_only_another_order_in_memory(monkeypatch):
    # Without dropout, which draws in the order of memory.
    plain, last = make()[0], make()[0]
    plain[3] = last[3] = nn.Identity()
    _, data, schedule = make()
    list(fl.train(plain, data, schedule=schedule))
    monkeypatch.setattr("featlab.training._channels_last", lambda device, half: True)
    list(fl.train(last, data, schedule=schedule))
    assert last[0].weight.is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(plain.state_dict().values(), last.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_it_learns_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    model, data, _ = make()
    torch.manual_seed(11)
    schedule = fl.Schedule(epochs=40, lr=0.1, batch_size=30)
    records = list(fl.train(model, data, schedule=schedule))
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)
    assert [record.number for record in records] == list(range(1, 41))
    assert records[-1].loss < records[0].loss
    assert fl.accuracy(model, data).accuracy > 0.85
    assert records[-1].lr < records[len(records) // 4].lr


def test_robust_training_buys_robust_accuracy():
    """One strong feature of large margin and many weak ones: only robust training learns to ignore the weak ones.

    The setting is that of Tsipras et al. 2019, section 2.1, shrunk.
    """
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (400,))
    sign = labels.double() * 2 - 1
    strong = 0.5 + 0.3 * sign[:, None] * torch.where(torch.rand(400, 1) < 0.9, 1.0, -1.0)
    weak = 0.5 + 0.04 * sign[:, None] + 0.05 * torch.randn(400, 60)
    data = (torch.cat([strong, weak], 1).clamp(0, 1).float(), labels)
    found = {}
    for name, inner in (("standard", None), ("robust", fl.Adversary(Cube(0.08), steps=5, step_size=0.03))):
        torch.manual_seed(1)
        model = nn.Sequential(nn.BatchNorm1d(61, affine=False), nn.Linear(61, 2))
        list(fl.train(model, data, schedule=fl.Schedule(epochs=20, lr=0.1, batch_size=50), inner=inner))
        found[name] = fl.evaluate(model, data, within=Cube(0.08), suite="quick")
    assert found["standard"].clean.accuracy > found["robust"].clean.accuracy
    assert found["robust"].robust.accuracy > found["standard"].robust.accuracy + 0.3


def test_the_average_is_what_training_ends_with():
    """Recomputed from the weights after every step of the same run without averaging."""
    schedule = fl.Schedule(epochs=3, lr=0.05, batch_size=90)
    model, data, _ = make()
    mean = {name: value.clone() for name, value in model.state_dict().items()}
    for step, _ in enumerate(fl.train(model, data, schedule=schedule)):
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            mean[name] = decay * mean[name] + (1 - decay) * value if value.is_floating_point() else value
    averaged, data, _ = make()
    list(fl.train(averaged, data, schedule=dataclasses.replace(schedule, ema=0.5)))
    for name, value in averaged.state_dict().items():
        torch.testing.assert_close(value, mean[name].to(value.dtype))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    model, data, schedule = make()
    list(fl.train(model, data, schedule=schedule, checkpoint=tmp_path / "c"))
    with pytest.raises(ValueError, match="other arguments or data"):
        list(fl.train(model, data, schedule=schedule, checkpoint=tmp_path / "c", seed=1))
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:-40])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        list(fl.train(model, data, schedule=schedule, checkpoint=tmp_path / "c"))


def test_augmentation_moves_each_image_by_itself():
    images = torch.zeros(200, 1, 12, 12)
    images[:, :, 6, 6] = 1
    shifted = fl.training.AUGMENTATIONS["crop"](images, torch.Generator().manual_seed(0))
    places = shifted.flatten(1).argmax(1)
    assert (shifted.sum(dim=(1, 2, 3)) == 1).all()
    assert len(places.unique()) > 40
    rows, columns = places // 12, places % 12
    assert rows.min() == 2
    assert rows.max() == 10
    assert columns.min() == 2
    assert columns.max() == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [({"curve": "onecycle"}, "did you mean 'one-cycle'"), ({"ema": 1.0}, "decay"), ({"epochs": -1}, "epochs and lr")],
)
def test_bad_schedules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fl.Schedule(**({"epochs": 1, "lr": 0.1} | options))
