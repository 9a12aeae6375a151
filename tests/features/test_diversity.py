"""Pictures of one unit that differ: the likeness of images, its price, and images found one by one."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features.diversity import gram_cosines, last_with_positions
from featlab.testing import check_task

visualize = fl.task("visualize")
GREY = torch.full((1, 1, 28, 28), 0.5)


@pytest.fixture(scope="module")
def model():
    return fl.load("zoo:fashion-robust", device="cpu")


def pair(channels, positions):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, channels, positions, generator=generator) for count in (3, 2)]


@pytest.mark.parametrize(("channels", "positions"), [(4, 9), (9, 4), (5, 1)])
def test_the_cosine_of_gram_matrices_is_their_definition(channels, positions):
    maps, others = pair(channels, positions)
    first, second = (torch.stack([each @ each.T for each in maps_]).flatten(1) for maps_ in (maps, others))
    wanted = nn.functional.cosine_similarity(first[:, None], second[None], dim=2)
    torch.testing.assert_close(gram_cosines(maps, others), wanted)
    torch.testing.assert_close(gram_cosines(1e12 * maps, others), wanted)
    assert gram_cosines(0 * maps, others).abs().max() == 0


def test_it_does_not_matter_where_in_the_map_something_is():
    maps, others = pair(4, 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gram_cosines(maps[..., order], others), gram_cosines(maps, others))


def test_images_are_like_themselves(model):
    images, _ = fl.load_data("fashion-mini", train=False, count=4)
    alike = fl.likeness(model, images, images)
    torch.testing.assert_close(alike.diagonal(), torch.ones(4))
    assert (alike - alike.T).abs().max() < 1e-6
    assert alike.fill_diagonal_(0).max() < 0.99
    assert not torch.equal(alike, fl.likeness(model, images, images, layer="layer1"))


def test_the_layer_of_a_unit_or_the_last_with_positions(model):
    assert last_with_positions(model, GREY) == "layer4.relu"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(784, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    assert last_with_positions(flat, GREY) is None
    images, _ = fl.load_data("fashion-mini", train=False, count=3)
    assert fl.likeness(flat, images, images).shape == (3, 3)
    assert fl.maximize(visualize(flat, GREY, "penultimate:1", reference=images, steps=2)).shape == GREY.shape
    tokens = nn.Sequential(nn.Conv2d(1, 6, 14, 14), nn.Flatten(2), Turned(), nn.LayerNorm(6), First(), nn.Linear(6, 3))
    assert last_with_positions(tokens.eval(), GREY) == "3"


class Turned(nn.Module):
    def forward(self, maps):
        return maps.mT


class First(nn.Module):
    def forward(self, tokens):
        return tokens[:, 0]


def test_the_score_is_the_activation_less_what_is_shared(model):
    images, _ = fl.load_data("fashion-mini", train=False, count=5)
    references = images[3:]
    unit = fl.extractor(model, "layer4:7")
    for lowest, sign in ((False, 1), (True, -1)):
        score = fl.distinct(model, "layer4:7", references, weight=0.5, lowest=lowest, layer="layer3")
        with torch.no_grad():
            shared = fl.likeness(model, images, references, layer="layer3").sum(1)
            wanted = sign * unit(images)[:, 0] - 0.5 * unit(references).abs().mean() * shared
            torch.testing.assert_close(score(images), wanted)
            torch.testing.assert_close(score.rows(torch.tensor([4, 1]))(images[[4, 1]]), wanted[[4, 1]])


def test_one_forward_pass_serves_both(model):
    count = []
    handle = model.register_forward_hook(lambda *_: count.append(1))
    score = fl.distinct(model, "penultimate:7", GREY, layer="layer2")
    count.clear()
    score(GREY)
    handle.remove()
    assert len(count) == 1


@pytest.mark.parametrize("within", ["box", "fourier"])
def test_images_found_one_by_one_differ_at_a_bearable_price(model, within):
    """Beside images of other starts alone, they are less alike in the net's eyes, and still drive the unit."""
    read = fl.extractor(model, "penultimate:48")
    size, gap = (0.2, 0.02) if within == "box" else (0.4, 0.1)

    def make(found, *, diverse):
        return visualize(
            model, GREY, "penultimate:48", within=fl.threat_model(within), reference=found if diverse else None,
            diversity=0.5,
            noise=0.05, pass_through=True, steps=64, step_size=size, seed=0 if found is None else len(found),
        )  # fmt: skip

    made = {
        diverse: fl.one_by_one(lambda found, diverse=diverse: make(found, diverse=diverse), count=3)
        for diverse in (False, True)
    }
    alike = {key: (fl.likeness(model, found, found).sum() - 3) / 6 for key, found in made.items()}
    assert alike[True] < alike[False] - gap
    assert torch.equal(made[True][0], made[False][0])
    assert torch.equal(fl.one_by_one(lambda found: make(found, diverse=True), count=2), made[True][:2])
    with torch.no_grad():
        values = {key: read(found)[:, 0] for key, found in made.items()}
        grey = read(GREY)[0, 0]
    assert values[True].min() > grey + 0.3 * (values[False].mean() - grey)


def test_it_holds_the_kit(model):
    images, _ = fl.load_data("fashion-mini", train=False, count=5)
    check_task(lambda: visualize(model, images[:3], "logits:1", reference=images[3:], steps=4), model=model)
    check_task(lambda: visualize(model, images[:3], "layer2.bn:2", lowest=True, steps=4), model=model)


def test_a_unit_is_driven_down(model):
    images, _ = fl.load_data("fashion-mini", train=False, count=3)
    read = fl.extractor(model, "logits:2")
    found = fl.maximize(visualize(model, images, "logits:2", lowest=True, steps=20))
    assert (read(found) < read(images) - 0.4).all()


def test_what_makes_no_sense_is_refused(model):
    with pytest.raises(ValueError, match="reference has none"):
        fl.distinct(model, "logits:1", GREY[:0])
    with pytest.raises(ValueError, match="weight must be >= 0"):
        fl.distinct(model, "logits:1", GREY, weight=-1)
    with pytest.raises(ValueError, match="'logits' has 10"):
        fl.distinct(model, "logits", GREY)
    with pytest.raises(ValueError, match="count must be 1"):
        fl.one_by_one(lambda _: None, count=0)
    with pytest.raises(ValueError, match="it has 2"):
        fl.one_by_one(lambda _: visualize(model, GREY.expand(2, -1, -1, -1), "logits:1", steps=1), count=2)
