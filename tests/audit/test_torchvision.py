"""Nets of torchvision are audited as they are: a residual net, a modern convolutional one, a transformer."""

import pytest
import torch

import featlab as fl
from featlab.audit import Limits, audit
from featlab.report import audit_page
from featlab.report.page import render
from featlab.testing.models import Kept

from audit_cases import subject_of

models = pytest.importorskip("torchvision.models")
LEAST = Limits(images=3, units=2, seen=1, inversions=2, saliency=2, mistakes=1, train=6, radii=2)
BLOCKS = [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 1)]
# The classes and layouts of resnet18, convnext_tiny and vit_b_16, smaller: those take a minute or two each.
CASES = {
    "resnet": lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3, width_per_group=64),
    "convnext": lambda: models.ConvNeXt(BLOCKS, num_classes=3),
    "vit": lambda: models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_random_weights_are_audited(name):
    torch.manual_seed(0)
    net = CASES[name]()
    torch.nn.init.normal_(fl.head_of(net).weight)  # A transformer's head starts at zero.
    model = fl.Classifier(net, mean=0.4, std=0.3, classes=tuple("abc"), shape=(3, 32, 32), name=name).eval()
    with Kept(model, training=False):
        found = audit(subject_of(model, limits=LEAST, specs=("linf:eps=2/255",)), label=name)
    assert found.features.layer == "penultimate"
    assert 5 <= len(found.layers.rows) <= 6
    assert all(row.moved is not None for row in found.layers.rows)
    assert name in render(audit_page([found]))
