"""torchvision's nets as they are, and a user's own module from a file: every measure and task, and nothing is left."""

import gc

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features.flips import flips
from featlab.features.saliency import grad_cam, slope
from featlab.testing.models import Kept

torchvision = pytest.importorskip("torchvision")

CASES = {
    "resnet18": ("torchvision:resnet18?classes=3&shape=3,64,64", "layer4"),
    "convnext_tiny": ("torchvision:convnext_tiny?classes=3&shape=3,64,64", "features.7"),
    "vit_b_16": ("torchvision:vit_b_16?classes=3", "encoder.ln"),
    "own": ("own.py:net?classes=3&shape=3,16,16", "body.1"),
}

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.GELU())
        self.head = nn.Linear(6, 3)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))

def net():
    return Net()
"""


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """A classifier with random weights and no zero head, its last layer with positions, and an image."""
    spec, layer = CASES[request.param]
    if spec.startswith("own"):
        folder = tmp_path_factory.mktemp("own")
        (folder / "own.py").write_text(OWN)
        spec = f"{folder}/{spec}"
    torch.manual_seed(0)
    model = fl.load(spec, device="cpu")
    nn.init.normal_(fl.head_of(model).weight)  # A transformer's head starts at zero.
    images = torch.rand(2, *model.shape, generator=torch.Generator().manual_seed(1))
    return model, layer, images


def test_a_unit_at_a_row_and_column(case):
    """One forward pass gives the layer's own output, of a map or of tokens, read where the address says."""
    model, layer, images = case
    kept = []
    handle = model.net.get_submodule(layer).register_forward_hook(lambda *each: kept.append(each[-1]))
    with torch.no_grad(), fl.frozen(model):
        model(images[:1])
        handle.remove()
        one = fl.Layer(model, f"{layer}:3@1,0")(images[:1])
    (values,) = kept
    if values.dim() == 3:
        side = round((values.shape[1] - 1) ** 0.5)
        wanted = values[:, 1 + side, 3]
    else:
        wanted = values[:, 3, 1, 0]
    torch.testing.assert_close(one[:, 0], wanted)


WHOLE = 4
"""A transformer runs whole for the first so many."""


def looks(model, layer, images):
    """Yield everything that is done with a net, each by its name."""
    labels, one = torch.tensor([0, 1]), images[:1]
    ball = fl.threat_model("l2:eps=1")
    data = (images, labels)
    yield "visualize", lambda: fl.maximize(fl.task("visualize")(model, one, f"{layer}:3@1,0", steps=1))
    yield "saliency", lambda: slope(model, one, labels[:1])
    yield "flips", lambda: flips(model, one, images[1:]).contributions
    yield "activating", lambda: fl.activating(fl.Layer(model, layer, pool=True), data, units=[1], count=1).top
    yield "invert", lambda: fl.inversion_distances(model, data, steps=1).near
    yield "unlike", lambda: fl.maximize(fl.task("visualize")(model, one, "penultimate:3", reference=images, steps=1))
    yield "grad-cam", lambda: grad_cam(model, one, labels[:1])
    yield "class gradients", lambda: fl.class_gradients(model, one, classes=[2])
    yield "nearest", lambda: fl.nearest(fl.extractor(model, "penultimate"), one, data, count=1)
    yield (
        "usefulness",
        lambda: fl.usefulness(fl.extractor(model, "penultimate"), data, within=ball, units=[0], steps=1, resamples=4),
    )
    yield (
        "layer",
        lambda: fl.layer_robustness(fl.Layer(model, layer, pool=True), data, within=ball, steps=1, resamples=4),
    )
    yield "interpolate", lambda: fl.maximize(fl.task("interpolate")(model, one, images[1:], points=2, steps=1))
    yield "add", lambda: fl.maximize(fl.task("add-feature")(model, one, "penultimate:1", steps=1))
    yield "rationalize", lambda: fl.maximize(fl.task("rationalize")(model, one, steps=1))
    extract = fl.extractor(model, "penultimate")
    yield "logits", lambda: fl.extractor(model, "logits")(one).detach()
    yield "principal", lambda: fl.principal_directions(extract, data, count=1)(one).detach()
    yield "dictionary", lambda: fl.sparse_dictionary(extract, data, width=4, epochs=1)[0](one).detach()
    yield "kernel", lambda: fl.kernel_features(model, images, labels, count=1)(one).detach()
    yield "table", lambda: fl.saliency_table(model, images, labels, methods={"gradient": slope})


def alive():
    gc.collect()
    # By type: `isinstance` asks objects of other libraries for their class, and some warn at that.
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


@pytest.mark.slow
def test_every_measure_and_task_works_and_leaves_nothing(case):
    model, layer, images = case
    every = list(looks(model, layer, images))
    try_all(model, every[:WHOLE])
    if hasattr(model.net, "encoder"):
        del model.net.encoder.layers[1:]  # Twelve alike take twelve times as long.
    try_all(model, every[WHOLE:])


def try_all(model, every):
    with Kept(model, training=False):
        before = alive()
        for name, look in every:
            found = look()
            if isinstance(found, torch.Tensor):
                assert torch.isfinite(found).all(), name
                assert not found.requires_grad, name
            del found
        # The bands of a sampler or the like may be cached once, but no image, feature or graph.
        assert alive() <= before + 4
