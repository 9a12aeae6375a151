"""What all threat models of colours and signals hold: the kit, an exact start, a true gradient, and use everywhere."""

import dataclasses
import json
import math

import pytest
import torch
from fashion import fitted
from torch import nn

import featlab as fl
from featlab.attacks import SUITES
from featlab.cli import main
from featlab.testing import check_threat_model

RGB, GREY = (3, 8, 8), (1, 5, 7)
SPECS = {
    "hsb": [RGB, GREY],
    "recolor:eps=8/255": [RGB, GREY],
    "recolor:eps=0.3,knots=4,smooth=2": [RGB, GREY],
    "frequency:eps=1/2": [RGB, GREY, (17,), (4, 9)],
    "frequency:eps=1/2,low=1/4,high=1/2": [RGB, GREY, (17,)],
    "frequency:eps=8/255,norm=linf": [RGB, GREY, (17,), (4, 9)],
    "frequency:eps=8/255,norm=linf,low=1/2,high=1": [RGB, GREY, (17,)],
    "jpeg:eps=1/2": [RGB, GREY, (3, 17, 23)],
    "jpeg:eps=2,quality=30,subsample=no": [RGB, (3, 9, 4)],
    "blur:sigma=2": [RGB, GREY],
    "blur:sigma=2,kind=motion": [RGB, GREY],
    "fog:eps=1/2": [RGB, GREY],
    "snow:eps=3/4": [RGB, GREY],
}
CASES = [pytest.param(spec, shape, id=f"{spec}-{shape}") for spec, shapes in SPECS.items() for shape in shapes]
KEY = fl.Key(seed=3, examples=torch.arange(4))


def middle(shape, dtype=torch.float64):
    """Images so far from 0 and 1 that small changes are not cut."""
    torch.manual_seed(0)
    return 0.3 + 0.4 * torch.rand(4, *shape, dtype=dtype)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_they_hold_the_kit(spec, shape):
    check_threat_model(lambda: fl.threat_model(spec), shape=shape, moves_images=False, examples=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_start_is_the_image_to_the_bit(spec, shape, dtype):
    within, center = fl.threat_model(spec), torch.rand(4, *shape, dtype=dtype)
    center.view(-1)[:2] = torch.tensor([0.0, 1.0])
    assert torch.equal(within.decode(within.start(center), center), center)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_gradient_is_that_of_the_images(spec, shape):
    within, center = fl.threat_model(spec), middle(shape)[:2]
    start, drawn = within.start(center), within.sample(center, key=KEY.rows(torch.arange(2)))
    for points in (start, 0.3 * drawn):
        moved = points.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda p: within.decode(p, center), moved, fast_mode=True)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_steps_lead_from_the_image_to_another_of_the_set(spec, shape):
    """Without a random start: the gradient at the image itself must not vanish."""
    within, center = fl.threat_model(spec), middle(shape)
    target = within.decode(within.sample(center, key=KEY), center)
    found = fl.maximize(fl.Problem(fl.stay_near(target), center, within, 12, within.radius / 100))
    before, after = (center - target).flatten(1).norm(dim=1), (found - target).flatten(1).norm(dim=1)
    assert (after < 0.99 * before).all()


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_all_points_are_images_and_each_its_own(spec, shape):
    within, center = fl.threat_model(spec), torch.rand(4, *shape)
    drawn = within.sample(center, key=KEY)
    corner = within.project(100 * torch.rand(drawn.shape), center)
    for points in (drawn, corner):
        images = within.decode(points, center)
        assert images.shape == center.shape
        assert ((images >= 0) & (images <= 1)).all()
        assert ((images - center).flatten(1).abs().amax(dim=1) > 1e-4).all()
        some = torch.tensor([3, 1])
        torch.testing.assert_close(within.decode(points[some], center[some]), images[some], rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_images_may_lie_in_memory_as_they_like_and_be_none_at_all(spec):
    within, center = fl.threat_model(spec), torch.rand(4, 3, 8, 8)
    points = within.sample(center, key=KEY)
    for other in (center.to(memory_format=torch.channels_last), center.transpose(2, 3).contiguous().transpose(2, 3)):
        assert torch.equal(within.sample(other, key=KEY), points)
        torch.testing.assert_close(within.decode(points, other), within.decode(points, center), rtol=0, atol=1e-6)
    nobody = fl.pgd(
        lambda x: x.flatten(1)[:, :2], center[:0], torch.zeros(0).long(), within=within, steps=2, step_size=0.1
    )
    assert fl.maximize(nobody).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("name", ["hsb", "recolor", "frequency", "jpeg", "blur:sigma=2", "fog", "snow"])
def test_sizes_may_be_one_for_each_example(name):
    center, eps = torch.rand(4, 3, 8, 8), torch.tensor([0.0, 0.1, 0.5, 0.9])
    within = fl.threat_model(name, eps=eps)
    points = within.project(torch.ones_like(within.start(center)), center)
    images = within.decode(points, center)
    assert torch.equal(images[0], center[0])
    change = (images - center).flatten(1).norm(dim=1)
    assert (change[1:] > change[:-1]).all()
    some = torch.tensor([2, 1])
    part = within.rows(some).project(10 * points[some], center[some])
    for row, example in enumerate(some.tolist()):
        alone = fl.threat_model(name, eps=float(eps[example])).project(10 * points[[example]], center[[example]])
        torch.testing.assert_close(part[[row]], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_images_of_another_shape_are_refused(spec):
    within, center = fl.threat_model(spec), torch.rand(2, 3, 2, 8, 8)
    with pytest.raises(ValueError, match=r"needs .*\(batch, channels, .*got .*\(2, 3, 2, 8, 8\).*reshape them"):
        within.start(center)
    with pytest.raises(ValueError, match="reshape them"):
        within.sample(center, key=fl.Key(seed=0, examples=torch.arange(2)))


@pytest.mark.parametrize("name", ["hsb", "recolor:eps=0.1", "jpeg:eps=1"])
def test_two_channels_are_no_colours(name):
    with pytest.raises(ValueError, match="needs images of 1 or 3 channels, got shape"):
        fl.threat_model(name).start(torch.rand(2, 2, 8, 8))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hsb:hue=200", "hue is a limit from 0 to 180 degrees, got 200"),
        ("hsb:brightness=-0.1", "brightness is a limit from 0 to 1, got -0.1"),
        ("recolor:eps=8", "eps must be a finite number from 0 to 1; write 8 steps of 255 as 8/255, got 8"),
        ("recolor:eps=0.1,knots=1", "knots must be >= 2"),
        ("frequency:eps=8,norm=linf", "write 8 steps of 255 as 8/255, got 8"),
        ("frequency:eps=-1", "eps must be a finite number >= 0, got -1"),
        ("frequency:eps=1,low=1/2,high=1/4", "0 <= low < high <= 1; got 0.5 and 0.25"),
        ("jpeg:eps=nan", "eps must be a finite number from 0 to 2040, got nan"),
        ("jpeg:eps=1,quality=0", "quality must be a whole number from 1 to 100, got 0"),
        ("blur:sigma=-1", "sigma must be a finite number of pixels >= 0, got -1"),
        ("blur:sigma=1,kind=gausian", "did you mean 'gaussian'"),
        ("fog:eps=2", "eps must be a finite number from 0 to 1, got 2"),
        ("fog:eps=1/2,light=2", "light in"),
        ("snow:eps=1", "eps must be a finite number from 0 to 0.999, got 1"),
        ("snow:eps=1/2,spacing=0", "spacing >= 1"),
    ],
)
def test_options_that_make_no_set_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        fl.threat_model(spec)


def tinted(images):
    """Make colour pictures of grey ones."""
    return (images * torch.tensor([1.0, 0.8, 0.5]).reshape(3, 1, 1)).clamp(0, 1)


@pytest.fixture(scope="module")
def coloured():
    """A small net that knows its training images, in colour."""
    images, labels = fl.load_data("fashion-mini", train=True, count=500)
    return fitted(tinted(images), labels, hidden=32, steps=40)


@pytest.mark.parametrize("spec", SPECS)
def test_attacks_find_more_than_chance(spec, coloured):
    net, images, labels = coloured
    within = fl.threat_model(spec)
    problems = {
        "pgd": fl.pgd(net, images, labels, within=within, steps=8, step_size=within.radius / 4),
        "apgd": fl.apgd(net, images, labels, within=within, steps=8),
    }
    key = fl.Key(seed=0, examples=torch.arange(len(images)))
    with torch.no_grad():
        loss = fl.cross_entropy(net, labels)
        chance = loss(within.decode(within.sample(images, key=key), images))
        for name, problem in problems.items():
            found = loss(fl.maximize(problem))
            assert found.mean() > 1.2 * chance.mean(), name
            assert (found >= loss(images) - 1e-4).double().mean() > 0.8, name
    report = fl.evaluate(net, (images, labels), within=within, suite=(fl.Attack("pgd", steps=4, relative_step=0.5),))
    assert report.clean.accuracy == 1.0
    assert report.robust.accuracy < 1.0


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_distance_is_the_least_size_that_holds_a_point(spec, shape):
    within, center = fl.threat_model(spec), middle(shape)
    points = within.sample(center, key=KEY)
    distance = within.distance(points, center)
    assert (distance <= within.radius).all()
    torch.testing.assert_close(within.resized(1.001 * distance).project(points, center), points)
    shrunk = within.resized(0.9 * distance)
    assert (within.distance(shrunk.project(points, center), center) <= 0.9 * distance).all()
    assert torch.equal(within.decode(points, center), within.resized(math.inf).decode(points, center))


@pytest.mark.parametrize("spec", SPECS)
def test_the_smallest_change_can_be_searched(spec, coloured):
    """Attacks that look beyond the radius, or take no gradients, count what they find within it."""
    net, images, labels = coloured
    images, labels, within = images[:20], labels[:20], fl.threat_model(spec)
    _, _, fab, square = SUITES["standard"]
    suite = [dataclasses.replace(fab, steps=4, targets=3), dataclasses.replace(square, steps=20)]
    report = fl.evaluate(net, (images, labels), within=within, suite=suite)
    assert report.robust.accuracy < 1.0


@pytest.mark.parametrize("spec", SPECS)
def test_nets_train_against_them(spec):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    images = torch.rand(40, 3, 8, 8)
    labels = (images.mean(dim=(1, 2, 3)) > 0.5).long()
    inner = fl.Adversary(fl.threat_model(spec), steps=2, step_size=0.1)
    schedule = fl.Schedule(epochs=1, lr=0.05, batch_size=20)
    (epoch,) = fl.train(net, (images, labels), schedule=schedule, inner=inner)
    assert torch.isfinite(torch.tensor(epoch.loss))
    assert all(bool(torch.isfinite(each).all()) for each in net.parameters())


def test_the_command_evaluates_under_all_of_them(tmp_path, capsys):
    small = {"channels": [4], "strides": [4]}
    net = fl.build("small_cnn", mean=0.3, std=0.3, classes=list("abcdefghij"), shape=(1, 28, 28), arguments=small)
    fl.save(net, tmp_path / "net.safetensors")
    chosen = [part for spec in SPECS for part in ("--threat-model", spec)]
    options = ["--data", "fashion-mini", "--device", "cpu", "--count", "20", "--suite", "quick", "--json"]
    with pytest.raises(SystemExit) as leave:
        main(["evaluate", str(tmp_path / "net.safetensors"), *options, *chosen])
    said = capsys.readouterr()
    assert leave.value.code == 0, said.err
    found = json.loads(said.out)
    assert len(found["robust"]) == len(SPECS)
    for row in found["robust"]:
        assert row["robust"]["accuracy"] <= found["clean"]["accuracy"]
