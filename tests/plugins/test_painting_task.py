"""Painting: what is asked for appears under the mask, and nowhere else does a bit change."""

import pytest
import torch

import featlab as fl
from featlab.testing import check_task, check_threat_model

paint = fl.task("paint")
SHAPE = (1, 12, 12)


@pytest.fixture(scope="module")
def model():
    return fl.build(
        "small_cnn", mean=0.3, std=0.3, classes="abcd", shape=SHAPE, arguments={"channels": [6, 8], "strides": [1, 2]},
        seed=3,
    ).eval()  # fmt: skip


@pytest.fixture
def pictures():
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def soft():
    """A square in the left half with one soft column, and nothing elsewhere."""
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., 2:10, 2:6], mask[..., 2:10, 6] = 1, 0.5
    return mask


def each_way(model, pictures):
    """Return the three things that can be painted."""
    return {
        "unit": {"unit": "layer2:3"},
        "labels": {"labels": torch.tensor([1, 2, 3])},
        "reference": {"reference": pictures.roll(1, 0)},
        "patch": {"reference": torch.ones(1, 1, 5, 7)},
    }


@pytest.mark.parametrize("way", ["unit", "labels", "reference", "patch"])
def test_it_holds_the_kit_and_leaves_the_rest_alone(way, model, pictures, soft):
    asked = each_way(model, pictures)[way]
    check_task(lambda: paint(model, pictures, soft, steps=4, **asked), model=model)
    masks = torch.cat([soft, soft.flip(-1), torch.zeros_like(soft)])
    problem = paint(model, pictures, masks, steps=10, **asked)
    found = fl.maximize(problem)
    assert torch.equal(found[masks == 0], pictures[masks == 0])
    assert torch.equal(found[2], pictures[2])
    assert (found[:2] != pictures[:2]).flatten(1).any(dim=1).all()
    assert ((found - pictures).abs() <= masks).all()  # A change between two images is at most 1, times the mask.
    alone = fl.maximize(
        paint(
            model,
            pictures[1:2],
            masks[1:2],
            steps=10,
            **{k: v[1:2] if torch.is_tensor(v) and len(v) > 1 else v for k, v in asked.items()},
        )
    )
    torch.testing.assert_close(alone, found[1:2], rtol=0, atol=1e-4)


def test_the_unit_the_class_and_the_features_of_the_collage_come_nearer(model, pictures, soft):
    unit, features = fl.extractor(model, "layer2:3"), fl.extractor(model)
    wanted = torch.tensor([1, 2, 3])
    with torch.no_grad():
        by_unit = unit(fl.maximize(paint(model, pictures, soft, unit="layer2:3", steps=20)))
        assert (by_unit > unit(pictures) + 0.01).all()
        by_class = model(fl.maximize(paint(model, pictures, soft, labels=wanted, steps=20))).softmax(1)
        before = model(pictures).softmax(1)
        assert (by_class.gather(1, wanted[:, None]) > before.gather(1, wanted[:, None])).all()
        collage = features(torch.where(soft == 1, 1.0, pictures.lerp(torch.ones_like(pictures), soft)))
        found = features(fl.maximize(paint(model, pictures, soft, reference=torch.ones(1, 1, 3, 3), steps=30)))
        assert ((found - collage).norm(dim=1) < 0.5 * (features(pictures) - collage).norm(dim=1)).all()


def test_noise_under_the_mask_is_each_images_own(model, pictures, soft):
    canvas = torch.full_like(pictures, 0.5)
    problem = paint(model, canvas, soft, unit="layer2:3", noise=0.3, seed=4)
    one = paint(model, canvas[1:2], soft, unit="layer2:3", noise=0.3, seed=4, examples=torch.tensor([1]))
    assert torch.equal(problem.center[1:2], one.center)
    assert torch.equal(problem.center[(soft == 0).expand(3, -1, -1, -1)], canvas[(soft == 0).expand(3, -1, -1, -1)])
    assert not torch.equal(problem.center[0], problem.center[1])


def test_what_cannot_be_painted_is_refused(model, pictures, soft):
    with pytest.raises(ValueError, match="exactly one of unit, labels and reference; got none"):
        paint(model, pictures, soft)
    with pytest.raises(ValueError, match="got unit and labels"):
        paint(model, pictures, soft, unit="layer2:3", labels=torch.tensor([0, 0, 0]))
    with pytest.raises(ValueError, match=r"a mask must be \(batch or 1, 1, height, width\)"):
        paint(model, pictures, torch.ones(2, 1, 12, 12), unit="layer2:3")
    with pytest.raises(ValueError, match="values from 0"):
        paint(model, pictures, 2 * soft, unit="layer2:3")


SOFT = torch.linspace(0, 1, 8).expand(1, 8, 8)


@pytest.mark.parametrize("inside", ["l2:eps=1", "linf:eps=8/255", "box"])
@pytest.mark.parametrize(
    "mask", [SOFT, torch.stack([SOFT * share for share in (1, 0, 0.3, 0.7, 1)])], ids=["one", "each"]
)
def test_feathered_holds_the_kit(inside, mask):
    make = lambda: fl.threat_model("feathered", inside=fl.threat_model(inside), mask=mask)  # noqa: E731
    check_threat_model(make, shape=(3, 8, 8), examples=10)


def test_feathered_follows_rows_of_rows_and_refuses_what_does_not_fit():
    masks = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    within = fl.threat_model("feathered", inside=fl.threat_model("box"), mask=masks)
    center, points = torch.zeros(4, 2, 3, 3), torch.ones(4, 2, 3, 3)
    part = within.rows(torch.tensor([2, 3, 0])).rows(torch.tensor([1, 2]))
    assert torch.equal(part.decode(points[:2], center[:2]), masks[[3, 0]].expand(-1, 2, -1, -1))
    with pytest.raises(ValueError, match="shape of one image"):
        within.decode(points[:3], center[:3])
    with pytest.raises(ValueError, match="Rigid does not"):
        fl.threat_model("feathered", inside=fl.threat_model("rigid"), mask=masks)
