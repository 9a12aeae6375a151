"""Geometry: what each deformation is, exactly, and that attacks, training and the commands find their way in it."""

import functools
import math

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.cli import main
from featlab.testing import check_task, check_threat_model
from featlab_plugins.tasks.stadv import Smoothly
from featlab_plugins.threat_models.flow import flow_loss

EACH = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0])
SETS = {
    "rigid": {},
    "rigid-scaled": {"scale": 1.5, "padding": "edge"},
    "rigid-grid": {"grid": (2, 3, 5)},
    "rigid-each": {"rotation": 10 * EACH, "translation": EACH, "scale": 1 + EACH},
    "flow": {"eps": 1.0},
    "flow-each": {"eps": EACH, "spacing": 1, "padding": "zero"},
    "elastic": {"eps": 2.0},
    "elastic-each": {"eps": EACH, "sigma": 1.0},
    "patch": {"size": 3},
    "patch-each": {"size": 2, "row": torch.tensor([0, 3, 1, 0, 2]), "column": 1},
}
SHAPES = [(3, 8, 8), (1, 5, 7)]


def make(name):
    return fl.threat_model(name.split("-")[0], **SETS[name])


def key(count, *, restart=0, seed=0):
    return fl.Key(seed=seed, examples=torch.arange(count), restart=restart)


def pictures(*shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def largest(directions):
    return directions.flatten(1).abs().amax(dim=1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SETS)
def test_threat_models_hold_the_kit(name, shape):
    check_threat_model(lambda: make(name), shape=shape, moves_images=False, examples=6, length=largest)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("shape", [(5, 3, 7, 10), (5, 1, 32, 28), (5, 2, 5, 1 << 6)], ids=str)
def test_no_deformation_is_the_picture_to_the_bit(name, shape):
    for dtype in (torch.float32, torch.float64):
        images = pictures(*shape, dtype=dtype)
        within = make(name)
        assert torch.equal(within.decode(within.start(images), images), images)


@pytest.mark.parametrize("name", SETS)
def test_pictures_stay_in_range_and_apart(name):
    images = pictures(5, 3, 8, 8, dtype=torch.float32)
    images[:, :, 2:6, 2:6] = 1.0
    within = make(name)
    points = within.sample(images, key=key(5))
    whole = within.decode(points, images)
    assert ((whole >= 0) & (whole <= 1)).all()
    for some in (torch.tensor([3]), torch.tensor([4, 1])):
        part = within.rows(some).decode(points[some], images[some])
        torch.testing.assert_close(part, whole[some], rtol=0, atol=1e-6)
    other = within.decode(points, torch.cat([images[:1], 1 - images[1:]]))
    assert torch.equal(other[0], whole[0])


@pytest.mark.parametrize("name", SETS)
def test_gradients_are_those_of_the_pictures(name):
    # Not the first: where nothing can move all pixels are read at their kinks.
    images, within = pictures(4, 2, 5, 6), make(name).rows(torch.arange(1, 5))
    points = within.sample(images, key=key(4, restart=1))
    # Between whole pixels, where the reading has its kinks; a place of a patch has no gradient.
    points = points if name.startswith("patch") else within.project(0.97 * points + 0.011, images)
    if name.startswith("patch"):
        place = points[:, :2]

        def decode(moving, center):
            return within.decode(torch.cat([place, moving], dim=1), center)

        points = points[:, 2:]
    else:
        decode = within.decode
    inputs = (points.clone().requires_grad_(), (0.1 + 0.8 * images).requires_grad_())
    assert torch.autograd.gradcheck(decode, inputs, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", ["rigid", "flow", "elastic", "patch"])
def test_what_is_no_picture_is_refused(name):
    within = make(name)
    for shape in ((2, 9), (2, 3, 3)):
        with pytest.raises(ValueError, match=rf"{name} needs pictures, \(batch, channels, height, width\); got"):
            within.start(torch.rand(shape))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rigid:rotation=-1", "rotation must be a finite number of degrees >= 0 and <= 180"),
        ("rigid:rotation=181", "rotation must be a finite number of degrees >= 0 and <= 180"),
        ("rigid:translation=nan", "translation must be a finite number of pixels >= 0"),
        ("rigid:scale=0.5", "scale must be a finite number of times >= 1"),
        ("rigid:grid=5:5", "grid must be 3 whole numbers >= 1, of shifts and turns"),
        ("rigid:grid=5:5:0", "grid must be 3 whole numbers >= 1"),
        ("rigid:grid=5:5:3,scale=2", "grid must be 4 whole numbers >= 1, of shifts, turns and scales"),
        ("rigid:padding=black", "padding"),
        ("flow:eps=inf", "eps must be a finite number of pixels >= 0"),
        ("flow:eps=1,spacing=0", "spacing must be a whole number of pixels >= 1"),
        ("elastic:eps=1,sigma=0", "sigma must be a finite number of pixels > 0"),
        ("elastic:eps=-1", "eps must be a finite number of pixels >= 0"),
        ("patch:size=0", "size must be a whole number of pixels >= 1"),
        ("patch:size=2,row=-1", "row must be a whole number >= 0"),
        ("patch:size=2,low=1", "low less than high"),
    ],
)
def test_wrong_options_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        fl.threat_model(spec)


def test_options_parse():
    within = fl.threat_model("rigid:rotation=10,translation=3/2,grid=5:5:31,padding=edge")
    assert (within.rotation, within.translation, within.grid, within.padding) == (10.0, 1.5, (5, 5, 31), "edge")
    assert fl.threat_model("flow:eps=1/2,spacing=8").radius == 0.5
    assert fl.threat_model("elastic:eps=2,padding=zero").padding == "zero"
    assert fl.threat_model("patch:size=5,row=2").row == 2


# Rotations and shifts


def posed(images, *shares, **options):
    """Return pictures in the pose of some shares of the limits."""
    within = fl.threat_model("rigid", **options)
    return within.decode(images.new_tensor(shares).expand(len(images), -1), images)


@pytest.mark.parametrize("turns", [-1, 1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_quarter_turns_are_those_of_torch(turns, side):
    images = pictures(2, 3, side, side)
    found = posed(images, 0.0, 0.0, turns / 2, rotation=180.0)
    torch.testing.assert_close(found, images.rot90(turns, dims=(2, 3)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("right", "down"), [(2, 0), (0, -1), (-3, 2)])
def test_shifts_by_whole_pixels_move_pixels(right, down):
    images = pictures(2, 3, 6, 9)
    found = posed(images, right / 4, down / 4, 0.0, translation=4.0)
    wanted = torch.zeros_like(images)
    for i in range(6):
        for j in range(9):
            if 0 <= i - down < 6 and 0 <= j - right < 9:
                wanted[:, :, i, j] = images[:, :, i - down, j - right]
    assert torch.equal(found, wanted)
    edge = posed(images, right / 4, down / 4, 0.0, translation=4.0, padding="edge")
    rows, columns = (torch.arange(6) - down).clamp(0, 5), (torch.arange(9) - right).clamp(0, 8)
    assert torch.equal(edge, images[:, :, rows][:, :, :, columns])


def test_pictures_are_turned_and_enlarged_first_and_shifted_then():
    images = pictures(2, 1, 9, 9)
    both = posed(images, 0.5, -1.0, 1.0, rotation=90.0, translation=2.0)
    turned = posed(images, 0.0, 0.0, 1.0, rotation=90.0, translation=2.0)
    torch.testing.assert_close(both, posed(turned, 0.5, -1.0, 0.0, translation=2.0), rtol=0, atol=1e-12)
    larger = posed(images, 0.0, 0.0, 0.0, 1.0, scale=2.0)
    torch.testing.assert_close(larger[:, :, ::2, ::2], images[:, :, 2:7, 2:7], rtol=0, atol=1e-12)
    smaller = posed(images, 0.0, 0.0, 0.0, -1.0, scale=2.0)
    torch.testing.assert_close(smaller[:, :, 2:7, 2:7], images[:, :, ::2, ::2], rtol=0, atol=1e-12)
    assert not smaller[:, :, :2].any()


def test_uniform_poses_fill_their_limits():
    within = fl.threat_model("rigid")
    images = torch.zeros(4000, 1, 2, 2)
    poses = within.sample(images, key=key(4000))
    share = (poses[:, :, None] < torch.linspace(-1, 1, 9)).double().mean(dim=0)
    assert (share - torch.linspace(0, 1, 9)).abs().max() < 1.63 / math.sqrt(4000), "Kolmogorov and Smirnov, 1 %"
    assert torch.corrcoef(poses.T).triu(1).abs().max() < 0.06
    again = within.sample(images, key=key(4000, restart=1))
    assert not torch.equal(again, poses)


@pytest.mark.parametrize("grid", [(5, 5, 31), (1, 1, 1), (2, 1, 3), (1, 4, 1)])
def test_restarts_enumerate_the_grid(grid):
    within = fl.threat_model("rigid", grid=grid)
    image = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    poses = [tuple(within.sample(image, key=key(1, restart=r))[0].tolist()) for r in range(within.poses)]
    assert within.poses == math.prod(grid) == len(set(poses))
    for axis, count in enumerate(grid):
        wanted = torch.linspace(-1, 1, count).double().tolist() if count > 1 else [0.0]
        assert sorted({pose[axis] for pose in poses}) == pytest.approx(wanted, abs=1e-6)
    again = within.sample(image, key=key(1, restart=within.poses))[0].tolist()
    assert tuple(again) == poses[0]


def test_examples_and_seeds_walk_over_the_grid_each_from_its_own_pose():
    within, images = fl.threat_model("rigid", grid=(5, 5, 31)), torch.zeros(600, 1, 2, 2)
    first, other = (within.sample(images, key=key(600, seed=seed)) for seed in (0, 1))
    assert len(first.unique(dim=0)) > 300
    assert (first != other).any(dim=1).double().mean() > 0.9


def test_the_first_poses_of_a_grid_lie_far_apart():
    within = fl.threat_model("rigid", grid=(5, 5, 31))
    poses = torch.stack([within.sample(torch.zeros(1, 1, 2, 2), key=key(1, restart=r))[0] for r in range(10)])
    assert torch.pdist(poses).min() > 0.4
    assert (poses.amax(dim=0) - poses.amin(dim=0) > 1).all()


def test_without_a_grid_there_is_nothing_to_count():
    with pytest.raises(ValueError, match=r"pass for example grid=\(5, 5, 31\)"):
        _ = fl.threat_model("rigid").poses


# Flow fields


@pytest.mark.parametrize("spacing", [1, 3, 50])
def test_a_constant_flow_is_a_shift(spacing):
    images = pictures(2, 3, 7, 8)
    within = fl.threat_model("flow", eps=2.0, spacing=spacing, padding="zero")
    flow = within.start(images) + torch.tensor([-1.5, 0.75], dtype=torch.float64)[:, None, None]
    wanted = posed(images, 0.75, -0.375, 0.0, translation=2.0)
    torch.testing.assert_close(within.decode(flow, images), wanted, rtol=0, atol=1e-12)


def test_each_pixel_is_read_from_where_the_flow_says():
    images = pictures(1, 1, 4, 5)
    within = fl.threat_model("flow", eps=2.0, spacing=1)
    flow = within.start(images)
    flow[0, :, 1, 2] = torch.tensor([1.25, 0.5])
    found = within.decode(flow, images)
    picture = images[0, 0]
    wanted = 0.5 * (0.75 * picture[1, 3] + 0.25 * picture[1, 4]) + 0.5 * (0.75 * picture[2, 3] + 0.25 * picture[2, 4])
    torch.testing.assert_close(found[0, 0, 1, 2], wanted)
    found[0, 0, 1, 2] = picture[1, 2]
    assert torch.equal(found, images)


@pytest.mark.parametrize("spacing", [1, 2, 4, 7])
def test_neighbours_flow_together(spacing):
    images = pictures(20, 1, 13, 16)
    within = fl.threat_model("flow", eps=1.5, spacing=spacing)
    points = 1.5 * within.sample(images, key=key(20)).sign()  # The corners of the set.
    field = within.field(points, images)
    assert field.shape == (20, 2, 13, 16)
    assert torch.equal(field[:, :, ::spacing, ::spacing], points[:, :, : -(-13 // spacing), : -(-16 // spacing)])
    assert field.abs().max() <= 1.5 + 1e-12
    for dim in (2, 3):
        assert field.diff(dim=dim).abs().max() <= 2 * 1.5 / spacing + 1e-12


def test_flow_loss_is_the_sum_over_neighbours():
    flow, total = torch.randn(1, 2, 3, 4, dtype=torch.float64), 0.0
    for i in range(3):
        for j in range(4):
            for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                if 0 <= i + di < 3 and 0 <= j + dj < 4:
                    total += float((flow[0, :, i, j] - flow[0, :, i + di, j + dj]).norm())
    assert float(flow_loss(flow)[0]) == pytest.approx(total, rel=1e-12)
    assert torch.autograd.gradcheck(flow_loss, flow.requires_grad_())
    still = torch.ones(2, 2, 3, 4, requires_grad=True)
    (grad,) = torch.autograd.grad(flow_loss(still).sum(), still)
    assert not grad.any()
    with pytest.raises(ValueError, match="a flow has shape"):
        flow_loss(torch.zeros(2, 3, 4, 4))


# Elastic deformations


def test_elastic_fields_are_gaussian_means():
    images = pictures(1, 1, 6, 5)
    within = fl.threat_model("elastic", eps=1.0, sigma=1.5)
    points = 2 * pictures(1, 2, 6, 5) - 1
    field = within.field(points, images)
    for i, j in ((0, 0), (3, 2), (5, 4)):
        near_i = torch.exp(-((torch.arange(6.0) - i) ** 2) / (2 * 1.5**2)).double()
        near_j = torch.exp(-((torch.arange(5.0) - j) ** 2) / (2 * 1.5**2)).double()
        bell = near_i[:, None] * near_j
        wanted = (bell * points[0]).sum(dim=(1, 2)) / bell.sum()
        torch.testing.assert_close(field[0, :, i, j], wanted, rtol=0, atol=1e-6)
    constant = within.field(torch.full_like(points, 0.7), images)
    torch.testing.assert_close(constant, torch.full_like(points, 0.7), rtol=0, atol=1e-12)


def test_elastic_samples_move_far_and_smoothly():
    images = pictures(20, 1, 28, 28)
    within = fl.threat_model("elastic", eps=2.0)
    points = within.sample(images, key=key(20))
    torch.testing.assert_close(largest(points), torch.full((20,), 2.0, dtype=torch.float64))
    field = within.field(points, images)
    assert (largest(field) > 0.8).all(), "noise that is smoothed alone would move nothing"
    assert field.diff(dim=3).abs().max() < 0.5
    assert not torch.equal(within.sample(images, key=key(20, restart=1)), points)


# Patches


def test_a_patch_changes_nothing_outside_and_anything_inside():
    images = pictures(5, 3, 8, 9, dtype=torch.float32)
    row, column = torch.tensor([0, 1, 5, 3, 2]), torch.tensor([6, 0, 2, 3, 4])
    within = fl.threat_model("patch", size=3, row=row, column=column)
    target = torch.rand(5, 3, 8, 9)
    found = fl.maximize(fl.Problem(fl.stay_near(target), images, within, 40, 0.05, random_start=True))
    for example in range(5):
        square = (
            example,
            slice(None),
            slice(row[example], row[example] + 3),
            slice(column[example], column[example] + 3),
        )
        assert (found[square] - target[square]).abs().max() < 0.06
        assert (found[square] != images[square]).any()
        found[square] = images[square]
    assert torch.equal(found, images)


def corners(points):
    return {tuple(place) for place in points[:, :2].long().tolist()}


def test_restarts_try_other_places_and_steps_keep_them():
    images = pictures(300, 1, 6, 5)
    within = fl.threat_model("patch", size=3)
    first, second = (within.sample(images, key=key(300, restart=r)) for r in (0, 1))
    assert corners(first) == {(i, j) for i in range(4) for j in range(3)}, "it lies anywhere, and nowhere else"
    assert (first[:, :2] != second[:, :2]).any(dim=1).double().mean() > 0.7
    moved = within.step(first, torch.randn_like(first), images, step_size=0.3)
    assert torch.equal(moved[:, :2], first[:, :2])
    assert corners(within.start(images)) == {(1, 1)}, "the middle"
    fixed = fl.threat_model("patch", size=3, row=2).sample(images, key=key(300))
    assert {row for row, _ in corners(fixed)} == {2}
    assert {column for _, column in corners(fixed)} == {0, 1, 2}


def test_a_patch_that_does_not_fit_is_refused():
    images = pictures(2, 1, 6, 5)
    with pytest.raises(ValueError, match="a patch of size 6 does not fit into pictures of 6 x 5 pixels"):
        fl.threat_model("patch", size=6).start(images)
    with pytest.raises(ValueError, match="column of a patch of size 3 is at most 2 in these pictures"):
        fl.threat_model("patch", size=3, column=3).start(images)
    with pytest.raises(ValueError, match="row of a patch of size 3 is at most 3"):
        fl.threat_model("patch", size=3, row=torch.tensor([0, 4])).sample(images, key=key(2))


# Nets


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 49, 10),
    )  # fmt: skip


def trained_net(inner=None):
    """Return a net trained on a thousand pictures, in a few seconds."""
    net, schedule = small_net(), fl.Schedule(epochs=8, lr=0.05, batch_size=100)
    for _ in fl.train(net, fl.load_data("fashion-mini", train=True, count=1000), schedule=schedule, inner=inner):
        pass
    return net


@pytest.fixture(scope="module")
def net():
    return trained_net()


@pytest.fixture(scope="module")
def data():
    return fl.load_data("fashion-mini", train=False, count=150)


RANDOM = fl.Attack("worst-of-10", steps=0, random_start=True, restarts=10)


def test_turning_and_shifting_fools_and_searching_more_fools_more(net, data):
    report = fl.evaluate(net, data, within=fl.threat_model("rigid"), suite=[RANDOM])
    assert report.clean.accuracy > 0.7
    assert report.robust.accuracy < report.clean.accuracy - 0.4
    grid = fl.threat_model("rigid:grid=3:3:7")
    few, every = (
        fl.evaluate(net, data, within=grid, suite=[fl.Attack("grid", steps=0, random_start=True, restarts=count)])
        for count in (10, grid.poses)
    )
    assert every.robust.accuracy <= few.robust.accuracy < report.clean.accuracy - 0.4


def test_exhaustive_search_finds_the_worst_pose_of_the_grid(net, data):
    images, labels = (each[:20] for each in data)
    within = fl.threat_model("rigid:grid=3:3:5")
    found = fl.maximize(fl.task("worst-of")(net, images, labels, within=within, tries=within.poses))
    loss = fl.cross_entropy(net, labels)
    axes = (torch.linspace(-1, 1, count) for count in (3, 3, 5))
    with torch.no_grad():
        each = [loss(within.decode(pose.expand(20, 3), images)) for pose in torch.cartesian_prod(*axes)]
        torch.testing.assert_close(loss(found), torch.stack(each).amax(dim=0))


@pytest.mark.parametrize(
    ("spec", "gain"), [("rigid", 0.4), ("flow:eps=1", 0.4), ("elastic:eps=1", 0.3), ("patch:size=7", 0.2)]
)
def test_gradients_find_more_than_chance(net, data, spec, gain):
    within = fl.threat_model(spec)
    once = fl.evaluate(net, data, within=within, suite=[fl.Attack("chance", steps=0, random_start=True)])
    steps = fl.evaluate(net, data, within=within, suite="quick")
    adaptive = fl.evaluate(
        net, data, within=within, suite=[fl.Attack("apgd", steps=20, relative_step=2.0, rule=fl.APGD())]
    )
    assert steps.robust.accuracy < once.robust.accuracy
    assert steps.robust.accuracy < steps.clean.accuracy - gain
    assert adaptive.robust.accuracy < once.robust.accuracy


def test_limits_of_each_example_follow_it_out_of_the_batch(net, data):
    """Examples that leave take their limits along: each ends as it does by itself."""
    images, labels = (each[:12] for each in data)
    for name, eps in (("flow", torch.linspace(0, 1.5, 12)), ("elastic", torch.linspace(0, 3, 12))):
        attack = functools.partial(fl.pgd, net, steps=6, step_size=0.3, stop=True, random_start=True, restarts=2)
        whole = fl.maximize(attack(images, labels, within=fl.threat_model(name, eps=eps)))
        for i in (0, 5, 11):
            within, examples = fl.threat_model(name, eps=float(eps[i])), torch.tensor([i])
            alone = fl.maximize(attack(images[i : i + 1], labels[i : i + 1], within=within, examples=examples))
            torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=1e-5)
        assert torch.equal(whole[0], images[0])


def test_training_on_the_worst_of_ten_withstands_more(net, data):
    within = fl.threat_model("rigid")
    robust = trained_net(fl.Adversary(within, steps=0, step_size=0.0, restarts=5))
    before, after = (fl.evaluate(each, data, within=within, suite=[RANDOM]).robust for each in (net, robust))
    assert after.low > before.high


def test_the_best_of_several_restarts_is_trained_on(net, data):
    images, labels = (each[:30] for each in data)
    adversary = fl.Adversary(fl.threat_model("rigid"), steps=0, step_size=0.0, restarts=4)
    problem = adversary(net, images, labels, seed=0, examples=torch.arange(30))
    losses = [fl.cross_entropy(net, labels)(frame.images).detach() for frame in fl.ascend(problem)]
    best = fl.cross_entropy(net, labels)(fl.maximize(problem)).detach()
    torch.testing.assert_close(best, torch.stack(losses).amax(dim=0))


def test_stadv_fools_by_smooth_flows(net, data):
    right = fl.predict(net, data[0]) == data[1]
    images, labels = data[0][right][:40], data[1][right][:40]
    found = fl.maximize(fl.task("stadv")(net, images, labels, steps=100))
    assert (fl.predict(net, found) != labels).double().mean() > 0.6
    with torch.no_grad():
        target = net(images).topk(2, dim=1).indices[:, 1]
    aimed = fl.maximize(fl.task("stadv")(net, images, target, targeted=True, steps=100))
    assert (fl.predict(net, aimed) == target).double().mean() > 0.6


def test_the_penalty_smooths(net, data):
    images, labels = (each[:20] for each in data)
    seen = {}

    class Watched(type(fl.threat_model("flow:eps=1"))):
        def decode(self, points, center):
            seen["flow"] = points.detach().clone()
            return super().decode(points, center)

    rough = []
    for weight in (0.0, 0.02):
        within = Watched(2.0, spacing=1)
        options = {"rule": Smoothly(weight=weight), "keep": "last"}
        fl.maximize(fl.Problem(fl.margin(net, labels), images, within, 10, 0.05, **options))
        rough.append(flow_loss(seen["flow"]))
    assert (rough[1] < 0.6 * rough[0]).all()


def test_tasks_hold_the_kit(net, data):
    images, labels = (each[:10] for each in data)
    check_task(lambda: fl.task("stadv")(net, images, labels, steps=3))
    within = fl.threat_model("rigid")
    check_task(lambda: fl.task("worst-of")(net, images, labels, within=within, tries=20))


@pytest.mark.parametrize("spec", ["rigid:grid=3:3:3", "flow:eps=1", "elastic:eps=2", "patch:size=5"])
def test_commands_take_them_as_text(net, spec, tmp_path, capsys):
    image = fl.build("small_cnn", mean=0.5, std=0.5, classes=[str(n) for n in range(10)], shape=(1, 28, 28), seed=0)
    fl.save(image, tmp_path / "net.safetensors")
    common = ["--data", "fashion-mini", "--device", "cpu", "--threat-model", spec, "--count", "8", "--json"]
    for command in (
        ["evaluate", "--suite", "quick"],
        ["attack", "--out", str(tmp_path / "a.safetensors"), "--steps", "2"],
    ):
        name, *rest = command
        with pytest.raises(SystemExit) as leave:
            main([name, str(tmp_path / "net.safetensors"), *common, *rest])
        assert leave.value.code == 0, capsys.readouterr().err
