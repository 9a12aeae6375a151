"""EfficientNet-Lite0 beside another implementation of it, with the same weights."""

import pytest
import torch

from featlab.models.efficientnet import efficientnet_lite0


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = efficientnet_lite0(classes=1000)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # So that a wrong eps would be seen.
            module.running_var.uniform_(0.001, 0.01)
            module.running_mean.normal_(0, 0.01)
            module.weight.data.uniform_(0.05, 0.1)
    return net.eval()


def test_it_has_the_published_size(net):
    assert sum(each.numel() for each in net.parameters()) == 4_652_008


def test_it_computes_what_timm_does(net):
    timm = pytest.importorskip("timm")
    other = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    assert [value.shape for value in other.state_dict().values()] == [
        value.shape for value in net.state_dict().values()
    ]
    other.load_state_dict(dict(zip(other.state_dict(), net.state_dict().values())))
    with torch.no_grad():
        for side in (224, 96):
            images = torch.randn(2, 3, side, side)
            torch.testing.assert_close(net(images), other(images), rtol=1e-4, atol=1e-5)
            assert other(images).std() > 1e-3


def test_other_counts_of_classes_and_channels():
    with torch.no_grad():
        assert efficientnet_lite0(classes=7, in_channels=1).eval()(torch.rand(1, 1, 64, 64)).shape == (1, 7)
