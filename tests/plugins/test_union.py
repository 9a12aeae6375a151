"""Unions: the worst case over members, multi-steepest descent, and the average."""

import re

import pytest
import torch
from fashion import Slide, losses, trained

import featlab as fl
from featlab.testing import check_threat_model
from featlab_plugins.threat_models.multi_steepest import MultiSteepest

LINF, L2, L1 = "linf:eps=8/255", "l2:eps=1", "[l1:eps=6,sparsity=0.1]"


def union(*of, how="max"):
    return fl.threat_model("union", of=[made(each) if isinstance(each, str) else each for each in of], how=how)


def made(text):
    return fl.threat_model(text.strip("[]"))


def pgd(net, images, labels, within, **options):
    return fl.pgd(net, images, labels, within=within, **{"steps": 8, "step_size": 0.3, **options})


def alone(each, size=0.3):
    """The options of a member by itself that do what it does in a union."""
    return {"within": each, "step_size": size * each.radius}


@pytest.mark.parametrize("shape", [(3, 5, 7), (17,), (4, 9)], ids=str)
def test_as_one_set_it_holds_the_kit(shape):
    each = torch.linspace(0.1, 1.0, 5)
    check_threat_model(lambda: fl.threat_model(f"union:of={LINF}+{L2}+{L1},how=msd"), shape=shape, examples=4)
    mixed = fl.threat_model("l2", eps=each)
    check_threat_model(lambda: union(mixed, LINF, how="msd"), shape=shape, examples=4)


def test_a_projection_is_the_nearest_of_the_members(images):
    members = [fl.threat_model(LINF), fl.threat_model("l2:eps=0.3"), fl.threat_model("l1:eps=1")]
    within = union(*members, how="msd")
    far = images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    far[0] = images[0] + 1e-3  # Inside the first member, and far outside the others.
    found = torch.stack([each.project(far, images) for each in members])
    distance = (found - far).flatten(2).norm(dim=2)
    assert torch.equal(within.project(far, images)[0], far[0])
    assert torch.equal((within.project(far, images) - far).flatten(1).norm(dim=1), distance.amin(dim=0))


@pytest.mark.parametrize("options", [{}, {"random_start": True, "restarts": 2, "seed": 5}], ids=["plain", "random"])
@pytest.mark.parametrize("slide", [False, True])
def test_the_worst_case_is_the_worst_of_the_members(options, slide):
    """To the bit: each member's restarts are what they are by themselves, whatever its points look like."""
    net, images, labels = trained()
    ball = fl.threat_model("l2", eps=torch.linspace(0.2, 1.5, 60))
    members = [Slide() if slide else ball, fl.threat_model(LINF)]
    separate = torch.stack(
        [losses(net, fl.maximize(pgd(net, images, labels, **alone(each), **options)), labels) for each in members]
    )
    together = losses(net, fl.maximize(pgd(net, images, labels, union(*members), **options)), labels)
    assert torch.equal(together, separate.amax(dim=0))
    assert len(set(separate.argmax(dim=0).tolist())) == 2, "both members must matter for this to mean anything"


def test_robust_accuracy_is_that_of_the_images_that_hold_in_every_member():
    net, images, labels = trained()
    members = [fl.threat_model("linf:eps=6/255"), fl.threat_model("l2:eps=0.6"), Slide(0.8)]
    held = [fl.evaluate(net, (images, labels), within=each, suite="quick").held for each in members]
    found = fl.evaluate(net, (images, labels), within=union(*members), suite="quick")
    assert torch.equal(found.held, held[0] & held[1] & held[2])
    assert found.robust.accuracy < min(float(each.double().mean()) for each in held)


def test_there_is_a_frame_for_every_step_of_every_member(linear, middle):
    labels = linear(middle).argmax(dim=1)
    within = union("linf:eps=0.01", union("l2:eps=0.1", "l1:eps=0.2"))
    assert within.variants == 3
    frames = list(fl.ascend(pgd(linear, middle, labels, within, steps=2, random_start=True, restarts=2)))
    assert [(frame.restart, frame.number) for frame in frames] == [(r, n) for r in range(6) for n in range(3)]
    for turn, text in enumerate(["linf:eps=0.01", "l2:eps=0.1", "l1:eps=0.2"]):
        member = fl.threat_model(text)
        own = list(fl.ascend(pgd(linear, middle, labels, **alone(member), steps=2, random_start=True, restarts=2)))
        for repeat in range(2):
            begin = (3 * repeat + turn) * 3
            for frame, wanted in zip(frames[begin : begin + 3], own[3 * repeat : 3 * repeat + 3], strict=True):
                assert torch.equal(frame.images, wanted.images)


def test_training_on_the_worst_case_takes_the_worst_of_the_last_points():
    net, images, labels = trained()
    members = [fl.threat_model("l2:eps=0.5"), Slide(1.0)]
    arguments = {"seed": 3, "examples": torch.arange(len(images))}
    ends = []
    for each in members:
        problem = fl.Adversary(each, 3, 0.4 * each.radius)(net, images, labels, **arguments)
        ends.append(losses(net, fl.maximize(problem), labels))
    worst = fl.maximize(fl.Adversary(union(*members), 3, 0.4)(net, images, labels, **arguments))
    assert torch.equal(losses(net, worst, labels), torch.maximum(*ends))
    assert len(set(torch.stack(ends).argmax(dim=0).tolist())) == 2


def test_of_last_points_those_that_are_done_are_kept(linear, middle):
    labels = linear(middle).argmax(dim=1)
    within = union("linf:eps=0.05", "l2:eps=0.3")
    done = fl.misclassified(linear, labels)
    problem = fl.Problem(fl.margin(linear, labels), middle, within, 5, 0.5, keep="last", done=done)
    frames = list(fl.ascend(problem))
    gone = torch.stack([frame.done for frame in frames]).any(dim=0)
    assert gone.any()
    assert not gone.all()
    assert torch.equal(done(fl.maximize(problem)), gone)


def test_examples_follow_their_members(linear, middle):
    """Per-example options, examples that leave early, and batches: all as if each example were alone."""
    labels = linear(middle).argmax(dim=1)
    sizes = torch.linspace(0.001, 0.2, len(middle), dtype=torch.float64)
    within = union(fl.threat_model("linf", eps=sizes), fl.threat_model("l2", eps=2 * sizes))
    whole = fl.maximize(pgd(linear, middle, labels, within, stop=True))
    for some in (torch.tensor([40, 3]), torch.tensor([63])):
        part = fl.maximize(pgd(linear, middle[some], labels[some], within.rows(some), stop=True))
        assert torch.equal(part, whole[some])


def test_multi_steepest_descent_takes_the_members_step_with_the_largest_loss():
    net, images, labels = trained()
    members = [fl.threat_model(LINF), fl.threat_model(L2), made(L1)]
    loss = fl.cross_entropy(net, labels)
    problem = pgd(net, images, labels, union(*members, how="msd"), steps=1, rule=MultiSteepest(loss))
    steps = [list(fl.ascend(pgd(net, images, labels, **alone(each), steps=1)))[1].scores for each in members]
    assert torch.equal(list(fl.ascend(problem))[1].scores, torch.stack(steps).amax(dim=0))


def test_multi_steepest_descent_of_one_member_is_its_own_ascent():
    net, images, labels = trained()
    member = fl.threat_model(LINF)

    def plain(found):
        return -torch.nn.functional.log_softmax(net(found), dim=1).gather(1, labels[:, None])[:, 0]

    for rule in (MultiSteepest(), MultiSteepest(plain)):
        found = fl.maximize(pgd(net, images, labels, union(member, member, how="msd"), rule=rule))
        assert torch.equal(found, fl.maximize(pgd(net, images, labels, **alone(member))))


@pytest.mark.parametrize("rule", ["loss", "gain"])
def test_multi_steepest_descent_ends_inside_and_is_no_weaker_than_any_member(rule):
    net, images, labels = trained()
    within = union("linf:eps=6/255", "l2:eps=0.6", how="msd")
    rule = MultiSteepest(fl.cross_entropy(net, labels) if rule == "loss" else None)
    problem = pgd(net, images, labels, within, steps=20, step_size=0.125, stop=True, rule=rule)
    found = fl.maximize(problem)
    change = (found.double() - images.double()).flatten(1)
    assert ((change.abs().amax(dim=1) <= 6 / 255) | (change.norm(dim=1) <= 0.6)).all()
    fooled = (net(found).argmax(dim=1) != labels).sum()
    for each in within.of:
        own = fl.maximize(pgd(net, images, labels, each, steps=20, step_size=0.125 * each.radius, stop=True))
        assert fooled >= (net(own).argmax(dim=1) != labels).sum()
    # Examples that leave take their rows of the objective along.
    stays = fl.maximize(pgd(net, images, labels, within, steps=20, step_size=0.125, rule=rule))
    assert ((net(stays).argmax(dim=1) != labels) | (net(found).argmax(dim=1) == labels)).all()


def test_as_one_set_it_is_climbed_by_every_rule():
    net, images, labels = trained()
    within = union(LINF, "l2:eps=0.5", how="msd")
    before = losses(net, images, labels)
    for rule in (fl.Steepest(), fl.Momentum(), fl.APGD()):
        found = fl.maximize(pgd(net, images, labels, within, rule=rule))
        assert (losses(net, found, labels) > before).all()
        assert torch.equal(within.project(found, images), found)


@pytest.mark.parametrize("slide", [False, True])
def test_on_average_each_example_is_in_its_own_member(slide):
    net, images, labels = trained()
    members = [fl.threat_model(LINF), Slide() if slide else fl.threat_model("l2:eps=0.5"), fl.threat_model("l2:eps=2")]
    within, key = union(*members, how="avg"), fl.Key(seed=7, examples=torch.arange(60))
    which = within.drawn(key).which
    assert all(8 <= count <= 32 for count in which.bincount(minlength=3).tolist())
    options = {"steps": 3, "random_start": True, "seed": 7}
    found = fl.maximize(pgd(net, images, labels, within, **options))
    for number, each in enumerate(members):
        own = fl.maximize(pgd(net, images, labels, **alone(each), **options))
        torch.testing.assert_close(found[which == number], own[which == number], atol=1e-6, rtol=0)
    some = torch.tensor([31, 4])
    part = fl.maximize(pgd(net, images[some], labels[some], within, examples=some, **options))
    torch.testing.assert_close(part, found[some], atol=1e-6, rtol=0)
    other = within.drawn(fl.Key(seed=8, examples=torch.arange(60))).which
    assert not torch.equal(which, other)


def test_a_mixture_is_a_threat_model_itself():
    for members, shape in (([LINF, L2], (3, 8, 8)), ([LINF, Slide(0.5)], (1, 6, 6))):
        within = union(*members, how="avg").drawn(fl.Key(seed=1, examples=torch.arange(5)))
        assert set(within.which.tolist()) == {0, 1}
        check_threat_model(lambda: within, shape=shape, moves_images=False, examples=8)  # noqa: B023


@pytest.mark.parametrize("how", ["max", "msd", "avg"])
def test_it_trains_a_net(how):
    _, images, labels = trained()

    def epochs():
        net = fl.build("small_cnn", classes=[*"abcdefghij"], shape=(1, 28, 28), seed=1, mean=0.3, std=0.35)
        inner = fl.Adversary(fl.threat_model(f"union:of={LINF}+l2:eps=0.5,how={how}"), 2, 0.6)
        list(fl.train(net, (images, labels), schedule=fl.Schedule(epochs=1, lr=0.05, batch_size=30), inner=inner))
        return torch.cat([value.flatten() for value in net.state_dict().values()])

    assert torch.equal(epochs(), epochs())


def test_it_is_written_as_text():
    within = fl.threat_model("union:of=linf:eps=8/255+[union:of=l2:eps=1/2+[l1:eps=12,sparsity=0.1],how=msd]")
    assert within.how == "max"
    assert [type(each).__name__ for each in within.of] == ["Linf", "Union"]
    assert within.of[1].how == "msd"
    assert within.of[1].of[1].sparsity == 0.1
    assert fl.threat_model("union:of=[l2:eps=1e+0]").of[0].eps == 1.0
    masked = fl.threat_model("masked", inside=union(LINF, L2, how="msd"), mask=torch.ones(1))
    assert masked.inside.how == "msd"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("union:of=linf:eps=0.1+l3:eps=1", "got 'l3'"),
        ("union:of=linf", "threat model 'linf' needs eps"),
        ("union:of=l1:eps=2,sparsity=0.1", "an option of threat model 'union' must be one of how, of; got 'sparsity'"),
        ("union:of=[l1:eps=2", "every [ must have its ]"),
        ("union:of=l1:eps=2]", "every [ must have its ]"),
        ("union:of=l2:eps=1,how=mean", "must be one of avg, max, msd; got 'mean'"),
        ("union:of=l2:eps=inf", "so it must be finite; got L2"),
        ("union", "threat model 'union' needs of"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fl.threat_model(text)


def test_what_does_not_fit_is_refused_in_a_sentence(images):
    for of, message in (([], "one threat model or more; got none"), (["l2:eps=1"], "got 'l2:eps=1'")):
        with pytest.raises(ValueError, match=message):
            fl.threat_model("union", of=of)
    with pytest.raises(ValueError, match="move the images themselves make one set, and Slide does not"):
        union(LINF, Slide(), how="msd")
    with pytest.raises(ValueError, match="Slide does not; take how='max'"):
        union(LINF, Slide()).project(images, images)
    with pytest.raises(ValueError, match="steps inside a union with how='msd'; got Linf"):
        fl.maximize(fl.Problem(fl.stay_near(images), images, fl.threat_model(LINF), 1, 0.1, rule=MultiSteepest()))
