"""The kit passes what is right, and finds in each broken threat model the law that it breaks, by name."""

import re
from dataclasses import dataclass

import pytest
import torch

import featlab as fl
from featlab.testing import THREAT_MODEL_LAWS, check_threat_model, judge_threat_model, name_of, options, text_of

from known import Cube

SHAPE = (3, 4, 4)
EPS = 0.2


def contains(points, center):
    return ((points - center).abs() <= EPS + 1e-6).flatten(1).all(dim=1)


def largest(directions):
    return directions.flatten(1).abs().amax(dim=1)


def over_examples(values, like):
    return values.reshape(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True)
class Brighter(fl.ThreatModel):
    """Points are one number per image, which all values rise or fall by."""

    eps: float = 0.2

    @property
    def radius(self):
        return self.eps

    def start(self, center):
        return center.new_zeros(len(center), 1)

    def project(self, points, center):
        return points.clamp(-self.eps, self.eps)

    def steepest(self, grad):
        return grad.sign()

    def sample(self, center, *, key):
        flat = center.flatten(1)[:, :1]
        drawn = fl.ops.linf_sample(
            torch.full_like(flat, 0.5), eps=self.eps, seed=key.seed, examples=key.examples, restart=key.restart
        )
        return drawn - 0.5

    def decode(self, points, center):
        return (center + over_examples(points, center)).clamp(0, 1)


@dataclass(frozen=True)
class OneOf(fl.ThreatModel):
    """Every value stays or becomes `other`, whichever is nearer: a set of points with nothing in between."""

    other: float = 1.0

    def project(self, points, center):
        near = (points - self.other).abs() < (points - center).abs()
        return torch.where(near, self.other, center)

    def steepest(self, grad):
        return grad.sign()

    def sample(self, center, *, key):
        noise = fl.ops.linf_sample(
            torch.full_like(center, 0.5), eps=0.5, seed=key.seed, examples=key.examples, restart=key.restart
        )
        return torch.where(noise > 0.5, self.other, center)


EACH_OWN = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.4])


@pytest.mark.parametrize(
    ("make", "claims"),
    [
        (lambda: Cube(EPS), {"contains": contains, "length": largest, "nearest": True}),
        (lambda: Cube(EACH_OWN), {"length": largest, "nearest": True}),
        (Brighter, {"length": largest, "nearest": True}),
        (OneOf, {"nearest": True, "exempt": ["ascent"]}),
    ],
    ids=["cube", "cube-each", "brighter", "one-of"],
)
@pytest.mark.parametrize("shape", [SHAPE, (7,)], ids=str)
def test_what_is_right_holds_every_law(make, claims, shape):
    check_threat_model(make, shape=shape, examples=15, **claims)


def broken(law, claims=None, base=Cube, **methods):
    """Return a test case: a set with other methods, what is claimed of it, and the law that it breaks."""
    fault = type("Broken", (base,), methods)
    return pytest.param(lambda: fault(EPS), claims or {}, law, id=f"{law}: {' '.join(methods)}")


def step_of(change):
    """Return a step that is the definition's but for one change of its keyword arguments or its result."""

    def step(self, points, grad, center, *, step_size, out=None):
        return change(self, points, grad, center, step_size, out)

    return step


def defined(self, points, grad, center, size, out=None):
    return fl.ThreatModel.step(self, points, grad, center, step_size=size, out=out)


def momentum_of(**changes):
    def momentum_step(self, points, grad, center, **given):
        return fl.ThreatModel.momentum_step(self, points, grad, center, **{**given, **changes})

    return momentum_step


def escaping_momentum(self, points, grad, center, *, trail, **given):
    return points + 3 * torch.where(grad > 0, 1.0, -1.0)


def forgotten_best(self, points, grad, center, *, trail, **given):
    other = fl.Trail(trail.previous, trail.best.clone(), trail.best_grad)
    return fl.ThreatModel.momentum_step(self, points, grad, center, trail=other, **given)


def unaccumulated(self, points, grad, center, *, momentum, decay, step_size, out=None):
    return defined(self, points, grad, center, step_size, out)


def global_sample(self, center, *, key):
    return self.project(center + 0.1 * torch.rand_like(center), center)


def fixed_sample(**fixed):
    """Return a sample that takes part of its key from somewhere else."""

    def sample(self, center, *, key):
        told = {"seed": key.seed, "examples": key.examples, "restart": key.restart, **fixed}
        return fl.ops.linf_sample(center, eps=0.1, **told)

    return sample


def counted_sample(self, center, *, key):
    return self.project(center + over_examples(0.01 * torch.arange(len(center)), center).to(center), center)


def radial(self, points, center):
    """Scale into the cube: inside, but not the nearest point of it."""
    far = over_examples(largest(points - center), center)
    return (center + (points - center) * (EPS / far.clamp_min(EPS))).clamp(0, 1)


def viewed(self, points, center):
    """Take it for granted that tensors are contiguous."""
    return Cube.project(self, points.view(len(points), -1), center.view(len(center), -1)).view(center.shape)


def in_storage_order(self, grad):
    """Look at memory rather than at values."""
    order = torch.as_strided(grad, (grad.numel(),), (1,))
    return order.reshape(grad.shape).sign()


def lazy_direction(self, grad):
    return torch.cat([grad[:, :1].sign(), torch.zeros_like(grad[:, 1:])], dim=1)


class Forgetful(Cube):
    """Options per example that do not follow their rows."""

    def __init__(self, eps):
        super().__init__(torch.full((5,), eps) * torch.arange(1, 6) / 5)

    def rows(self, index):
        return self


class WrongRadius(Cube):
    """A radius that stays with the whole batch."""

    def rows(self, index):
        return WrongRadius(self.eps)

    @property
    def radius(self):
        return torch.full((5,), self.eps) * torch.arange(5)


BROKEN = [
    broken("answers", project=lambda s, p, c: p / 0 * 0),
    broken("answers", steepest=lambda s, g: g.flatten(1).sign()),
    broken("answers", start=lambda s, c: 1 / 0),
    broken("types", project=lambda s, p, c: Cube.project(s, p, c).float()),
    broken("types", base=Brighter, decode=lambda s, p, c: Brighter.decode(s, p, c).double()),
    broken("arguments-unchanged", project=lambda s, p, c: Cube.project(s, p.clamp_(0, 1), c)),
    broken("arguments-unchanged", steepest=lambda s, g: g.sign_()),
    broken("arguments-unchanged", start=lambda s, c: c.mul_(0.5).clone()),
    broken("arguments-unchanged", start=lambda s, c: c),
    broken("arguments-unchanged", decode=lambda s, p, c: p.mul_(0.5) * 2),
    broken("arguments-unchanged", step=step_of(lambda s, p, g, c, size, out: defined(s, p, g, c, size, p))),
    broken("deterministic", sample=global_sample),
    broken("deterministic", steepest=lambda s, g: (g + 0.5 * torch.randn_like(g)).sign()),
    broken("start-centre", start=lambda s, c: c + 0.1),
    broken("start-centre", base=Brighter, start=lambda s, c: c.new_full((len(c), 1), 0.1)),
    broken("project-idempotent", project=lambda s, p, c: (c + 0.5 * (p - c)).clamp(0, 1)),
    broken("project-inside", project=lambda s, p, c: torch.clamp(p, c - EPS, c + EPS)),
    broken("project-inside", {"contains": contains}, project=lambda s, p, c: p.clamp(c - 0.3, c + 0.3).clamp(0, 1)),
    broken("project-nearest", {"nearest": True}, project=radial),
    broken("sample-inside", sample=lambda s, c, key: c + 0.3),
    broken("sample-batch", sample=counted_sample),
    broken("sample-key", sample=fixed_sample(seed=0)),
    broken("sample-key", sample=fixed_sample(restart=0)),
    broken("step-inside", step=step_of(lambda s, p, g, c, size, out: p + 100 * g.sign())),
    broken("step-out", step=step_of(lambda s, p, g, c, size, out: defined(s, p, g, c, size))),
    broken(
        "step-out", step=step_of(lambda s, p, g, c, size, out: defined(s, p, g, c, size if out is None else 0.0, out))
    ),
    broken("examples-apart", project=lambda s, p, c: Cube.project(s, p - 0.1 * (p - c).mean(dim=0), c)),
    broken("examples-apart", base=Brighter, decode=lambda s, p, c: Brighter.decode(s, p + p.mean() - p[:1], c)),
    broken("rows-follow", project=lambda s, p, c: p.clamp(c - EPS / len(p), c + EPS / len(p)).clamp(0, 1)),
    broken("rows-follow", base=Forgetful),
    broken("rows-follow", rows=lambda s, index: Cube(EPS / 2)),
    broken("radius-size", base=WrongRadius),
    broken("radius-size", radius=property(lambda s: -EPS)),
    broken("distance", distance=lambda s, p, c: (p - c).abs()),
    broken("distance", distance=lambda s, p, c: p.flatten(1).norm(dim=1)),
    broken("distance", order=property(lambda s: 1.0)),
    broken("zero-gradient", steepest=lambda s, g: torch.where(g >= 0, 1.0, -1.0).to(g)),
    broken("zero-gradient", step=step_of(lambda s, p, g, c, size, out: defined(s, p, g + 1e-3, c, size, out))),
    broken("steepest-ascends", steepest=lambda s, g: -g.sign()),
    broken("steepest-scale", steepest=lambda s, g: g / (g.abs() + 1e-8)),
    broken("steepest-best", {"length": largest}, steepest=lazy_direction),
    broken("steepest-length", {"length": largest}, steepest=lambda s, g: 1.5 * g.sign()),
    broken("step-definition", step=step_of(lambda s, p, g, c, size, out: defined(s, p, g, c, size / 2, out))),
    broken("momentum-inside", momentum_step=escaping_momentum),
    broken("momentum-definition", momentum_step=momentum_of(alpha=1.0)),
    broken("momentum-definition", momentum_step=forgotten_best),
    broken("accumulated-definition", accumulated_step=unaccumulated),
    broken("decode-range", base=Brighter, decode=lambda s, p, c: c + over_examples(p, c)),
    broken("decode-gradient", base=Brighter, decode=lambda s, p, c: Brighter.decode(s, p.detach(), c)),
    broken("decode-gradient", base=Brighter, decode=lambda s, p, c: Brighter.decode(s, p.round(), c)),
    broken("layouts", project=viewed),
    broken("layouts", steepest=in_storage_order),
    broken("ascent", project=lambda s, p, c: c.clone()),
    broken("ascent", base=Brighter, decode=lambda s, p, c: Brighter.decode(s, -p.detach() * 2 + p, c)),
]


@pytest.mark.parametrize(("make", "claims", "law"), BROKEN)
def test_what_is_broken_is_caught_by_the_name_of_its_law(make, claims, law):
    with pytest.raises(AssertionError, match=rf"^{law}: "):
        check_threat_model(make, shape=SHAPE, examples=8, **claims)


def test_every_law_is_broken_by_some_plugin():
    """A law that nothing breaks might as well not be asked; `devices` needs a device."""
    assert {case.values[2] for case in BROKEN} == {name_of(law) for law in THREAT_MODEL_LAWS} - {"devices"}


def test_every_law_says_what_it_asks():
    assert all(text_of(law).endswith(".") for law in THREAT_MODEL_LAWS)


def test_an_exempt_law_is_not_asked_and_an_unknown_one_is_refused():
    def lame():
        return type("Lame", (Cube,), {"steepest": lambda s, g: g / (g.abs() + 1e-8)})(EPS)

    verdicts = {each.law: each for each in judge_threat_model(lame, shape=SHAPE, examples=5, exempt=["steepest-scale"])}
    assert verdicts["steepest-scale"].outcome == "exempt"
    assert {each.outcome for name, each in verdicts.items() if name != "steepest-scale"} <= {"pass", "skip"}
    assert verdicts["project-nearest"].outcome == "skip"
    assert "nearest=True" in verdicts["project-nearest"].reason
    with pytest.raises(ValueError, match=r"a law to exempt must be one of .*did you mean 'steepest-scale'"):
        check_threat_model(lame, shape=SHAPE, exempt=["steepest-scales"])


def test_all_laws_that_are_broken_are_told():
    def wrong():
        return type("Wrong", (Cube,), {"steepest": lambda s, g: -1.5 * g.sign()})(EPS)

    with pytest.raises(AssertionError, match=re.escape("steepest-ascends: ")) as raised:
        check_threat_model(wrong, shape=SHAPE, length=largest, examples=5)
    assert "(broken too: steepest-best, steepest-length, ascent)" in str(raised.value)
    assert isinstance(raised.value.__cause__, AssertionError)


def test_a_crash_is_told_with_its_kind_and_kept_as_the_cause():
    crashed = type("Crashed", (Cube,), {"project": viewed})
    with pytest.raises(AssertionError, match=r"^layouts: RuntimeError: view size is not compatible") as raised:
        check_threat_model(lambda: crashed(EPS), shape=SHAPE, examples=3)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_options_are_drawn_from_the_signature():
    """A fault behind a switch that is off by default is found."""
    made = []

    def make(*, eps: float = EPS, sharp: bool = False):
        made.append((eps, sharp))
        return type("Sharp", (Cube,), {"steepest": lambda s, g: 1.5 * g.sign()} if sharp else {})(eps)

    check_threat_model(make, shape=SHAPE, length=largest, examples=10)
    with pytest.raises(AssertionError, match=r"^steepest-length: "):
        check_threat_model(make, shape=SHAPE, length=largest, examples=10, options=options(make))
    assert {(EPS, True), (EPS, False)} == set(made)
