"""Tasks with one classifier: each holds the kit, does what its formula says, and leaves alone what it must."""

import pytest
import torch
import torch.nn.functional as F

import featlab as fl
from featlab.testing import check_task

NAMES = ("generate", "inpaint", "superres", "translate", "sketch", "restore", "stylize")
generate, inpaint, superres, translate, sketch, restore, stylize = map(fl.task, NAMES)
SHAPES = [(1, 12, 12), (3, 8, 16)]


def net(shape):
    return fl.build(
        "small_cnn", mean=0.3, std=0.3, classes="abcd", shape=shape,
        arguments={"channels": [6, 8, 8], "strides": [1, 2, 2]}, seed=3,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def model(request):
    return net(request.param)


@pytest.fixture
def pictures(model):
    return torch.rand(3, *model.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def wanted():
    return torch.tensor([1, 2, 3])


def seeds(model):
    draw = torch.Generator().manual_seed(0)
    return fl.fit_seeds((torch.rand(40, *model.shape, generator=draw), torch.arange(40) % 4), grain=2)


def hole(model):
    mask = torch.zeros(1, 1, *model.shape[1:])
    mask[..., 2:6, 3:7] = 1
    return mask


def problems(model, pictures, wanted):
    """Return every task, as it is and with its switches turned."""
    small, mask = F.avg_pool2d(pictures, 2), hole(model)
    return {
        "generate": lambda: generate(model, wanted, seeds=seeds(model), steps=4),
        "inpaint": lambda: inpaint(model, pictures, mask, steps=4),
        "inpaint-hard": lambda: inpaint(model, pictures, mask, labels=wanted, hard=True, rule="steepest", steps=4),
        "inpaint-noise": lambda: inpaint(model, pictures, mask, fill="noise", variation=0.0, steps=4),
        "superres": lambda: superres(model, small, steps=4),
        "superres-steep": lambda: superres(model, small, labels=wanted, start="bicubic", rule="steepest", steps=4),
        "translate": lambda: translate(model, pictures, wanted, weight=3.0, steps=4),
        "sketch": lambda: sketch(model, pictures.round(), wanted, invert=True, steps=4),
        "restore": lambda: restore(model, pictures, steps=4),
        "restore-blur": lambda: restore(model, pictures, labels=wanted, blur=1.0, steps=4),
        "stylize": lambda: stylize(model, pictures, pictures[:1].flip(-1), steps=4),
        "stylize-noise": lambda: stylize(
            model, pictures, pictures.flip(0), start="noise", style="layer1+layer3", steps=4
        ),
    }


CASES = [
    "generate", "inpaint", "inpaint-hard", "inpaint-noise", "superres", "superres-steep", "translate", "sketch",
    "restore", "restore-blur", "stylize", "stylize-noise",
]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_they_hold_the_kit(name, model, pictures, wanted):
    check_task(problems(model, pictures, wanted)[name], model=model)


def odds(model, images, labels):
    with torch.no_grad():
        return model(images).softmax(1).gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize("name", ["generate", "translate", "sketch"])
def test_the_wanted_class_becomes_probable(name, model, pictures, wanted):
    problem = problems(model, pictures, wanted)[name]()
    found = fl.maximize(problem)
    assert (odds(model, found, wanted) > odds(model, problem.center, wanted)).all()


def test_generation_begins_with_seeds_that_are_each_examples_own(model, wanted):
    fitted = seeds(model)
    problem = generate(model, wanted, seeds=fitted, seed=5)
    alone = generate(model, wanted[1:2], seeds=fitted, seed=5, examples=torch.tensor([1]))
    assert torch.equal(problem.center[1:2], alone.center)
    assert not torch.equal(problem.center, generate(model, wanted, seeds=fitted, seed=6).center)


def test_seeds_of_a_data_set_by_name():
    model = fl.build(
        "small_cnn", mean=0.3, std=0.3, classes=list("0123456789"), shape=(1, 28, 28),
        arguments={"channels": [4], "strides": [4]},
    ).eval()  # fmt: skip
    problem = generate(model, torch.arange(10), grain=7, steps=2)
    blocks = problem.center.unfold(2, 7, 7).unfold(3, 7, 7).flatten(4)
    assert (blocks == blocks[..., :1]).all()


def test_nothing_changes_outside_a_hard_hole_and_little_outside_a_soft_one(model, pictures, wanted):
    mask = hole(model).expand_as(pictures) == 1
    hard = fl.maximize(inpaint(model, pictures, hole(model), labels=wanted, hard=True, steps=20))
    assert torch.equal(hard[~mask], pictures[~mask])
    changes = []
    for weight in (1.0, 10_000.0):
        soft = fl.maximize(inpaint(model, pictures, hole(model), labels=wanted, weight=weight, steps=20))
        changes.append((soft - pictures)[~mask].square().mean())
    assert changes[1] < 0.2 * changes[0]


@pytest.mark.parametrize(("fill", "value"), [("grey", 0.5), ("mean", None), ("keep", None)])
def test_the_hole_is_filled_as_was_said(fill, value, model, pictures):
    mask = hole(model)
    start = inpaint(model, pictures, mask, fill=fill).center
    inside = mask.expand_as(pictures) == 1
    if fill == "keep":
        assert torch.equal(start, pictures)
    elif value is not None:
        assert (start[inside] == value).all()
    else:
        rest = torch.where(inside, torch.nan, pictures).flatten(2).nanmean(dim=2)
        torch.testing.assert_close(start[:, :, 2, 3], rest)
    assert torch.equal(start[~inside], pictures[~inside])


def test_labels_default_to_the_models_answers(model, pictures, wanted):
    small = F.avg_pool2d(pictures, 2)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    answers = fl.predict(model, large)
    default, told, other = (
        superres(model, small, labels=labels, weight=0.0, steps=3) for labels in (None, answers, (answers + 1) % 4)
    )
    assert torch.equal(default.center, large)
    assert torch.equal(fl.maximize(default), fl.maximize(told))
    assert not torch.equal(fl.maximize(told), fl.maximize(other))


def test_enlarged_images_shrink_to_what_they_were_and_restored_ones_explain_what_was_seen(model, pictures):
    small = F.avg_pool2d(pictures, 2)
    apart = [
        (F.avg_pool2d(fl.maximize(superres(model, small, weight=weight, steps=20)), 2) - small).square().mean()
        for weight in (1.0, 3000.0)
    ]
    assert apart[1] < 0.5 * apart[0]
    blur = fl.threat_model("blur", sigma=1.0)
    seen = blur.decode(torch.ones(3, 1), pictures)
    found = fl.maximize(restore(model, seen, blur=1.0, variation=0.0, steps=40))
    assert (found - pictures).square().mean() < 0.7 * (seen - pictures).square().mean()


def test_smoother_pictures_have_less_variation(model, pictures):
    rough, smooth = (fl.maximize(restore(model, pictures, variation=v, steps=20)) for v in (0.0, 20.0))
    variation = fl.total_variation()
    assert (variation(smooth) < 0.8 * variation(rough)).all()


def test_style_comes_nearer_in_the_gram_matrices_and_the_balance_keeps_the_content(model, pictures):
    style = pictures.flip(0)

    def grams(images):
        with torch.no_grad(), fl.reading(model, "layer1", "layer2") as read:
            model(images)
        rows = [read[name].flatten(2) for name in ("layer1", "layer2")]
        return [row @ row.mT / row.shape[2] for row in rows]

    found = fl.maximize(stylize(model, pictures, style, style="layer1+layer2", balance=0.0, variation=0.0, steps=60))
    for before, after, goal in zip(grams(pictures), grams(found), grams(style), strict=True):
        assert (after - goal).norm() < 0.6 * (before - goal).norm()
    kept = fl.maximize(stylize(model, pictures, style, style="layer1+layer2", balance=100.0, variation=0.0, steps=60))
    assert (kept - pictures).norm() < (found - pictures).norm()


def test_wrong_questions_are_refused(model, pictures, wanted):
    with pytest.raises(ValueError, match="factor >= 2; got factor 1"):
        superres(model, pictures, factor=1)
    with pytest.raises(ValueError, match="nearest or bicubic"):
        superres(model, F.avg_pool2d(pictures, 2), start="linear")
    with pytest.raises(ValueError, match="blur is a deviation"):
        restore(model, pictures, blur=-1.0)
    with pytest.raises(ValueError, match="adam or steepest"):
        restore(model, pictures, rule="newton")
    with pytest.raises(ValueError, match="fill must be"):
        inpaint(model, pictures, hole(model), fill="red")
    with pytest.raises(ValueError, match=r"layers with maps, layer1.*got 'layer9'"):
        stylize(model, pictures, pictures, style="layer1+layer9")
    with pytest.raises(ValueError, match="one picture, or one for each"):
        stylize(model, pictures, pictures[:2])
    with pytest.raises(ValueError, match="seeds for the classes 0, 1, 2, 3; got 7"):
        generate(model, torch.tensor([7]), seeds=seeds(model))


def test_a_model_of_other_images_needs_other_seeds(model, wanted):
    with pytest.raises(ValueError, match=r"seeds are of shape \(1, 28, 28\); give data of the model's kind"):
        generate(model, wanted, grain=14)
