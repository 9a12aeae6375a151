"""Portraits of units: the images at both ends, and images made to drive the unit up and down."""

import torch

import featlab as fl
from featlab.testing.models import Kept


def test_a_portrait_shows_both_ends_and_images_that_go_beyond_them():
    model = fl.load("zoo:fashion-robust", device="cpu")
    data = fl.open_data("fashion-mini", train=False).subset(100)
    extract = fl.Layer(model, "layer4", pool=True)
    seen = []
    with Kept(model, training=False):
        found = fl.portraits(
            model, data, units=[9, 67], layer="layer4", count=3, steps=24, progress=lambda *each: seen.append(each)
        )
    assert ("pictures", 2, 2) in seen
    images, labels = data.tensors()
    with torch.no_grad():
        values = extract(images)
    for portrait, unit in zip(found, (9, 67), strict=True):
        column = values[:, unit].double()
        assert portrait.unit == unit
        assert torch.equal(portrait.top_values, column.sort(descending=True).values[:3])
        torch.testing.assert_close(portrait.bottom_values, column.sort().values[:3])
        assert torch.equal(portrait.top_labels, labels[portrait.top])
        assert torch.equal(portrait.bottom_labels, labels[portrait.bottom])
        assert portrait.highest.shape == portrait.lowest.shape == (3, 1, 28, 28)
        assert len(portrait.ways) == 3
        with torch.no_grad():
            high, low = (extract(each)[:, unit].double() for each in (portrait.highest, portrait.lowest))
            grey = float(extract(torch.full((1, 1, 28, 28), 0.5))[0, unit])
        assert high[:2].min() > grey
        assert high.max() > column.median()
        assert low.min() < grey
    again = fl.portraits(model, data, units=[67], layer="layer4", count=3, another=False, lowest=False, steps=24)[0]
    assert again.lowest is None
    assert torch.equal(again.highest, found[1].highest[:2])
