"""The laws of threat models that are asked of every random situation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from featlab.testing.laws import Law, NotAsked, same, unchanged
from featlab.testing.situations import QUESTIONS, Situation, apart
from featlab.testing.strategies import BATCH
from featlab.threat_models import ThreatModel, spread
from featlab.types import Points, Rows, Scores

ROUNDING: Final = {"rtol": 1e-4, "atol": 2e-5}
"""What a fused step may differ by from its definition."""


def answers(case: Situation) -> None:
    """Every method answers with a finite tensor of one row per example, as long as what it was asked about."""
    for name, answer in case.answers.items():
        wanted = case.center if name == "decode" else case.points
        assert isinstance(answer, Tensor), f"{name} must return a tensor, got {type(answer).__name__}"
        assert answer.shape == wanted.shape, f"{name} must have shape {tuple(wanted.shape)}, got {tuple(answer.shape)}"
        assert bool(torch.isfinite(answer).all()), f"{name} must be finite"


def types(case: Situation) -> None:
    """Points, directions and images have the type and the device of the images given, float32 or float64."""
    dtype, device = case.center.dtype, case.center.device
    for name, answer in case.answers.items():
        assert answer.dtype == dtype, f"{name} must be {dtype} for images of {dtype}, got {answer.dtype}"
        assert answer.device == device, f"{name} must stay on {device}, got {answer.device}"


def arguments_unchanged(case: Situation) -> None:
    """No method changes its arguments."""
    for name, ask in QUESTIONS.items():
        with unchanged(name, case.center, case.points, case.far, case.grad, case.best):
            ask(case)
    assert case.within.start(case.center).data_ptr() != case.center.data_ptr(), "start must return a new tensor"


def deterministic(case: Situation) -> None:
    """The same arguments give the same bits, whatever else was drawn or run in between."""
    for name, ask in QUESTIONS.items():
        same(f"{name} must say the same when asked again", ask(case.mapped(torch.clone)), case.answers[name])


def start_centre(case: Situation) -> None:
    """The start stands for the centre: decode(start(center), center) = center."""
    start = case.within.start(case.center.clone())
    _near(case, "the start must stand for the centre", case.within.decode(start, case.center), case.center)


def project_idempotent(case: Situation) -> None:
    """Projecting twice is projecting once."""
    once = case.project(case.far)
    _near(case, "projecting a projection must change nothing", case.project(once), once)


def project_inside(case: Situation) -> None:
    """A projection lies in the set."""
    _inside(case, case.project(case.far), "a projection")


def project_nearest(case: Situation) -> None:
    """No known point of the set is nearer than the projection, where the set says that it projects to the nearest."""
    if not case.claims.nearest:
        raise NotAsked("asked of sets that claim it, with nearest=True")
    nearest = case.project(case.far)
    distance = _length(case.far - nearest)
    others = (case.answers["start"], case.answers["sample"], case.answers["step"], case.best)
    for rival in (*others, *(_towards(case, nearest, share) for share in (0.01, 0.3))):
        excess = distance - _length(case.far - rival)
        assert bool((excess <= 1e-5 * (1 + distance)).all()), "a point of the set is nearer than the projection"


def _towards(case: Situation, points: Points, share: float) -> Points:
    """Return points of the set a share of the way from these to those that were projected, coordinates apart."""
    way = case.far - points
    return case.within.step(
        points.clone(), way, case.center.clone(), step_size=share * way.flatten(1).abs().amax(dim=1)
    )


def sample_inside(case: Situation) -> None:
    """A sample lies in the set."""
    drawn = case.answers["sample"]
    _near(case, "projecting a sample must change nothing", case.project(drawn), drawn)
    _inside(case, drawn, "a sample")


def decode_range(case: Situation) -> None:
    """Every point of the set decodes to an image of the centre's shape with values in [0, 1]."""
    for name in ("start", "project", "sample", "step"):
        images = case.within.decode(case.answers[name], case.center)
        assert images.shape == case.center.shape, f"decode must give shape {tuple(case.center.shape)}"
        assert bool(((images >= 0) & (images <= 1)).all()), f"what {name} decodes to must have values in [0, 1]"


def sample_batch(case: Situation) -> None:
    """A sample does not depend on the batch that its example is in."""
    for some in _parts(case):
        part = case.rows(some).answers["sample"]
        _near(case, "a sample must not depend on its batch", part, case.answers["sample"][some])


def step_inside(case: Situation) -> None:
    """A step, however long, ends in the set."""
    moved = case.answers["step"]
    _near(case, "projecting a step must change nothing", case.project(moved), moved)
    _inside(case, moved, "a step")


def step_definition(case: Situation) -> None:
    """A step equals its definition, project(points + size * steepest(admissible(grad, points)))."""
    same("a step must equal its definition", case.answers["step"], case.defined, **ROUNDING)
    size = float(case.sizes[-1])
    given = (case.points.clone(), case.grad.clone(), case.center.clone())
    moved = case.within.step(*given, step_size=size)
    wanted = ThreatModel.step(case.within, *given, step_size=size)
    same("a step must equal its definition, with one size for all", moved, wanted, **ROUNDING)


def step_out(case: Situation) -> None:
    """A step writes to `out`, also where that is its points, and to nothing else."""
    wanted = case.answers["step"]
    for out in (case.points.clone(), torch.full_like(case.points, 0.5)):
        with unchanged("step without out", case.points, case.grad, case.center):
            case.within.step(case.points, case.grad, case.center, step_size=case.sizes)
        returned = case.within.step(case.points.clone(), case.grad, case.center, step_size=case.sizes, out=out)
        assert torch.equal(returned, wanted), "step with out= must give the same points"
        assert torch.equal(out, wanted), "step must write to out"
    points = case.points.clone()
    case.within.step(points, case.grad, case.center, step_size=case.sizes, out=points)
    assert torch.equal(points, wanted), "step must give the same points where out is its points"


def zero_gradient(case: Situation) -> None:
    """Where the gradient is zero, the steepest direction is zero and a step stands still."""
    nothing = torch.zeros_like(case.grad)
    assert not bool(case.within.steepest(nothing).any()), "the steepest direction of a zero gradient must be zero"
    moved = case.answers["step"]
    still = case.within.step(moved.clone(), nothing, case.center.clone(), step_size=case.sizes)
    _near(case, "a zero gradient must not move", still, moved)


def momentum_inside(case: Situation) -> None:
    """A step with momentum ends in the set."""
    moved = case.answers["momentum_step"]
    _near(case, "projecting a step with momentum must change nothing", case.project(moved), moved)
    _inside(case, moved, "a step with momentum")


def momentum_definition(case: Situation) -> None:
    """A step with momentum equals its definition, and leaves the trail that its definition leaves."""
    ours, wanted = case.glide(type(case.within).momentum_step), case.glide(ThreatModel.momentum_step)
    for name, got, defined in zip(("points", "previous", "best", "best_grad"), ours, wanted, strict=True):
        same(f"{name} of a step with momentum must equal their definition", got, defined, **ROUNDING)


def accumulated_definition(case: Situation) -> None:
    """A step along accumulated gradients equals its definition, and leaves the momentum that its definition leaves."""
    ours, wanted = case.accumulate(type(case.within).accumulated_step), case.accumulate(ThreatModel.accumulated_step)
    for name, got, defined in zip(("points", "momentum"), ours, wanted, strict=True):
        same(f"{name} of an accumulated step must equal their definition", got, defined, **ROUNDING)


def rows_follow(case: Situation) -> None:
    """Some examples, by themselves and with `rows` of the set, are told what they are told among the others."""
    for some in _parts(case):
        part = case.rows(some)
        for name, answer in part.answers.items():
            if name != "sample":  # It has a law of its own.
                rule = f"{name} of examples {some.tolist()} alone must be what it is among the others, as rows follow"
                _near(case, rule, answer, case.answers[name][some])
        glided = zip(part.glide(type(part.within).momentum_step), _glided(case), strict=True)
        for got, wanted in glided:
            _near(case, "momentum_step must not depend on its batch", got, wanted[some])


def examples_apart(case: Situation) -> None:
    """What an example is told does not change with the points, gradients and images of the others."""
    kept = _rows([1, 3], case.center)
    other = apart(case, kept)
    for name, answer in other.answers.items():
        _near(case, f"{name} of an example must not depend on the others", answer[kept], case.answers[name][kept])


def radius_size(case: Situation) -> None:
    """The radius is a number >= 0, or one for each example, which `rows` takes along."""
    radius = torch.as_tensor(case.within.radius)
    assert radius.dim() == 0 or radius.shape == (BATCH,), f"radius must be one number or one each, got {radius.shape}"
    assert bool((radius >= 0).all()), f"radius must be a number >= 0, got {radius}"
    if radius.dim():
        some = _rows([4, 0, 2], radius)
        part = torch.as_tensor(case.within.rows(some).radius)
        assert torch.equal(part, radius[some]), "rows must take the radius of their examples along"


def distance(case: Situation) -> None:
    """The distance of points is a finite number >= 0 for each example, nothing at the start; in a ball, at most eps."""
    length, nothing = (case.within.distance(case.answers[name], case.center) for name in ("project", "start"))
    assert length.shape == (BATCH,), f"distance must be one number per example, got shape {tuple(length.shape)}"
    assert bool((torch.isfinite(length) & (length >= 0)).all()), "distance must be finite and >= 0"
    assert bool((nothing <= 1e-4).all()), "the start must be at no distance from the centre"
    if case.within.order is not None:
        radius = torch.as_tensor(case.within.radius).to(length)
        assert bool((length <= radius * (1 + 1e-6)).all()), "a ball's points must be at most its radius away"


def steepest_ascends(case: Situation) -> None:
    """The steepest direction does not lose: <steepest(g), g> >= 0."""
    gain = _dot(case.answers["steepest"], case.grad)
    assert bool((gain >= 0).all()), "the steepest direction must not lose"


def steepest_scale(case: Situation) -> None:
    """The steepest direction does not depend on the gradient's scale, however small that is."""
    for scale in (1e-12, 1e6):
        scaled = _steepest(case, scale * case.grad)
        _near(case, f"steepest of {scale:g} times the gradient must be the same", scaled, case.answers["steepest"])


def steepest_best(case: Situation) -> None:
    """No other direction of length one, such as that of another gradient, gains more than the steepest."""
    gain = _dot(case.answers["steepest"], case.grad)
    for rival in _rivals(case):
        beaten = _dot(rival, case.grad) <= gain + 1e-4 * gain.abs() + 1e-6
        assert bool(beaten.all()), "another direction of length one gains more than the steepest"


def steepest_length(case: Situation) -> None:
    """The steepest direction has length at most one in the norm that `length` tells."""
    if case.claims.length is None:
        raise NotAsked("asked of sets whose norm is told, with length=")
    length = case.claims.length(case.answers["steepest"])
    assert bool((length <= 1 + 1e-5).all()), f"the steepest direction must have length <= 1, got {float(length.max())}"


def _rivals(case: Situation) -> Iterator[Points]:
    """Yield directions of length one: another gradient's steepest has it, and so has what the norm is known of."""
    generator = torch.Generator().manual_seed(case.key.seed)
    for _ in range(4):
        other = torch.randn(case.grad.shape, generator=generator, dtype=case.grad.dtype).to(case.grad.device)
        yield _steepest(case, other)
        if case.claims.length is not None:
            yield other / spread(case.claims.length(other), other)


def _steepest(case: Situation, grad: Points) -> Points:
    return case.within.steepest(grad.clone())


def _glided(case: Situation) -> tuple[Points, ...]:
    return case.glide(type(case.within).momentum_step)


def _inside(case: Situation, points: Points, what: str) -> None:
    """Assert that points lie in the set, as far as can be told."""
    assert bool(torch.isfinite(points).all()), f"{what} must be finite"
    if case.claims.contains is not None:
        assert bool(case.claims.contains(points, case.center).all()), f"{what} must lie in the set, as `contains` says"
    if case.moves_images:
        assert bool(((points >= 0) & (points <= 1)).all()), f"{what} must have values in [0, 1]"


def _near(case: Situation, rule: str, got: Tensor, wanted: Tensor) -> None:
    same(rule, got, wanted, rtol=case.claims.tolerance, atol=case.claims.tolerance)


def _parts(case: Situation) -> tuple[Rows, Rows]:
    return _rows([4, 0, 2], case.center), _rows([1], case.center)


def _rows(index: list[int], like: Tensor) -> Rows:
    return torch.tensor(index, device=like.device)


def _dot(directions: Points, grad: Points) -> Scores:
    gain: Scores = (directions * grad).flatten(1).sum(dim=1)
    return gain


def _length(points: Points) -> Scores:
    length: Scores = points.flatten(1).double().norm(dim=1)
    return length


EACH: Final[tuple[Law, ...]] = (
    answers,
    types,
    arguments_unchanged,
    deterministic,
    start_centre,
    examples_apart,
    rows_follow,
    sample_batch,
    project_idempotent,
    project_inside,
    project_nearest,
    sample_inside,
    step_inside,
    step_out,
    decode_range,
    radius_size,
    distance,
    zero_gradient,
    steepest_ascends,
    steepest_scale,
    steepest_best,
    steepest_length,
    step_definition,
    momentum_inside,
    momentum_definition,
    accumulated_definition,
)
"""Asked of every situation that is drawn, in this order: what explains another fault comes before it."""
