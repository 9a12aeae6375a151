"""Engines: the copy that an attack follows is the same function up to rounding, and never has the last word."""

import copy

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.engine import ENGINES, engine
from featlab.evaluation import is_steady
from featlab.recording import Calls, Recorder

from known import Cube


def settled(name, shape, arguments):
    """Return a net in evaluation mode whose batch norms are not the identity."""
    model = fl.build(name, mean=0.4, std=0.3, classes="abc", shape=shape, arguments=arguments, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


NETS = {
    "small_cnn": ((1, 8, 8), {"channels": [4, 8], "strides": [2, 1]}),
    "resnet18": ((3, 8, 8), {"width": 4}),
}


@pytest.mark.parametrize("name", NETS)
def test_folding_is_the_same_function_without_batch_norms(name):
    shape, arguments = NETS[name]
    model = settled(name, shape, arguments)
    before = copy.deepcopy(model.state_dict())
    ready = fl.Engine(fold=True, channels_last=True).prepare(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ready.modules())
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    images = torch.rand(5, *shape)
    torch.testing.assert_close(ready(images), model(images), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", NETS)
def test_bfloat16_answers_in_float32_and_nearly_the_same(name):
    shape, arguments = NETS[name]
    model, images = settled(name, shape, arguments), torch.rand(20, *shape)
    ready = fl.Engine(precision="bfloat16").prepare(model)
    logits, wanted = ready(images), model(images)
    assert logits.dtype == torch.float32
    assert (logits - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert not torch.equal(logits, wanted)


def test_plain_modules_can_be_prepared_too(net, images):
    net.eval()
    ready = fl.Engine(fold=True, precision="bfloat16").prepare(net)
    torch.testing.assert_close(ready(images), net(images), rtol=0.05, atol=0.05)


def test_the_engine_of_no_change_is_the_model_itself(net):
    assert ENGINES["auto"].prepare(net) is net
    assert fl.Engine(fold=True).prepare(len) is len  # A callable that is no module has nothing to prepare.


class Branching(nn.Module):
    """Its path depends on values, which fx cannot trace."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 8), nn.BatchNorm2d(3)

    def forward(self, images):
        maps = self.conv(images)
        return self.norm(maps if maps.sum() > 0 else -maps).flatten(1)


def test_what_cannot_be_traced_is_run_unfolded_with_a_warning(images):
    model = Branching().eval()
    with pytest.warns(UserWarning, match="batch norms are not folded"):
        ready = fl.Engine(fold=True).prepare(model)
    assert torch.equal(ready(images), model(images))


def test_unknown_engines_are_refused():
    with pytest.raises(ValueError, match="did you mean 'fast'"):
        engine("fats")


def test_the_model_itself_has_the_last_word(linear, middle, monkeypatch):
    """A copy that answers everything wrongly fools itself at once; the verdicts must be the model's all the same."""
    labels = linear(middle).argmax(dim=1)

    class Wrong(nn.Module):
        def forward(self, images):
            return -linear(images)

    monkeypatch.setattr(fl.Engine, "prepare", lambda self, model: Wrong())
    through = fl.evaluate(linear, (middle, labels), within=Cube(0.02), engine="fast")
    monkeypatch.undo()
    assert 0 < through.robust.accuracy < 1
    assert torch.equal(through.held, fl.evaluate(linear, (middle, labels), within=Cube(0.02)).held)


def test_attacks_through_the_fast_copy_are_as_strong_on_a_real_net():
    model = fl.build("small_cnn", mean=0.3, std=0.35, classes="0123456789", shape=(1, 28, 28), seed=0)
    list(fl.train(model, fl.open_data("fashion-mini", train=True, count=1000), schedule=fl.Schedule(epochs=2, lr=0.05)))
    data = fl.load_data("fashion-mini", train=False, count=100)
    options = {"within": fl.threat_model("linf:eps=4/255"), "suite": "quick"}
    slow, fast = (fl.evaluate(model, data, engine=name, **options) for name in ("auto", "fast"))
    assert slow.clean == fast.clean
    assert 0 < slow.robust.accuracy < slow.clean.accuracy
    assert abs(slow.robust.accuracy - fast.robust.accuracy) <= 0.03


def test_random_parts_are_noticed(net, images):
    class Noisy(nn.Module):
        def forward(self, images):
            return net(images + 0.01 * torch.randn_like(images))

    assert is_steady(net, images)  # Dropout is frozen.
    assert not is_steady(Noisy(), images)


def test_iterations_are_recorded_on_cuda_alone():
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    assert ENGINES["fast"].recorder(cpu) is None
    assert ENGINES["auto"].recorder(cuda) is None
    assert ENGINES["fast"].recorder(cuda).backend.device == cuda


def test_capture_alone_leaves_the_model_as_it_is(net):
    assert fl.Engine(capture=True).prepare(net) is net


def test_an_evaluation_hands_its_recorder_to_every_attack(linear, middle, monkeypatch):
    """Recorded iterations of the model itself give its verdicts, also after it left the fast copy."""
    recorder = Recorder(Calls(), patience=0)
    monkeypatch.setattr(fl.Engine, "recorder", lambda self, device: recorder)
    labels = linear(middle).argmax(dim=1)
    options = {"within": Cube(0.02), "suite": "quick"}
    recorded = fl.evaluate(linear, (middle, labels), **options)
    assert recorder._recordings
    monkeypatch.undo()
    assert torch.equal(recorded.held, fl.evaluate(linear, (middle, labels), **options).held)
