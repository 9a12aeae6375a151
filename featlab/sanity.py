"""What makes attacks lie: symptoms that a robust accuracy is too high, each looked for on a few images.

Sources: Athalye et al. 2018, section 3.1; Carlini et al. 2019, "On evaluating adversarial robustness", section 5;
Pintor et al. 2022, "Indicators of attack failure", section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from featlab.attacks import Attack, Model
from featlab.data import Data, Part, as_data
from featlab.evaluation import Accuracy, Trial, attacks_of, correct, device_of, is_steady
from featlab.freezing import frozen
from featlab.objectives import cross_entropy, margin
from featlab.random_search import Square
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Points, Progress, Rows, Scores, Verdicts, silent


@dataclass(frozen=True)
class Symptom:
    """Something that makes robust accuracy unreliable: whether it was seen, what was measured, and what to do."""

    name: str
    seen: bool
    finding: str
    advice: str

    def record(self) -> dict[str, object]:
        """Return the symptom as plain values."""
        return asdict(self)


def symptoms(
    model: Model,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel,
    suite: str | Sequence[Attack] = "pgd",
    held: Verdicts | None = None,
    count: int = 64,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Symptom, ...]:
    """Return every symptom that was looked for, seen or not, in an evaluation of `suite` in `within`.

    At most `count` images are looked at, evenly spread over those that the model answers rightly; `held` is the
    verdict of the evaluation on all examples (`Evaluation.held`), found anew on these images where it is not given.
    What is seen on a few images is seen with 95 % confidence, by the lower end of the Wilson interval. Images outside
    [0, 1] cannot be attacked, so nothing else is looked for then.
    """
    said = [_training(model), _range(_some_images(data, count))]
    if said[-1].seen and not _inside(_some_images(data, count)):
        return tuple(said)
    patient = _Patient.of(model, as_data(data), within, attacks_of(suite), held=held, count=count, seed=seed)
    checks = CHECKS if len(patient.index) else CHECKS[:1]
    for number, check in enumerate(checks):
        progress("checks", number, len(checks))
        said.append(check(patient))
    progress("checks", len(checks), len(checks))
    return tuple(said)


def _some_images(data: Data | tuple[Images, Labels], count: int) -> Images:
    """Return at most `count` images as they are, evenly spread over all."""
    if isinstance(data, tuple):
        return data[0][_spread(torch.arange(len(data[0])), count)]
    return data.images(_spread(torch.arange(len(data)), count))


def _inside(images: Images) -> bool:
    return bool(((images >= 0) & (images <= 1)).all())


@dataclass(frozen=True, eq=False)
class _Patient:
    """A model with a few examples that it answers rightly, and which of these held in the evaluation."""

    model: Model
    trial: Trial
    within: ThreatModel
    attacks: Sequence[Attack]
    index: Rows
    held: Verdicts

    @staticmethod
    def of(
        model: Model,
        data: Data,
        within: ThreatModel,
        attacks: Sequence[Attack],
        *,
        held: Verdicts | None,
        count: int,
        seed: int,
    ) -> _Patient:
        """Return the patient; without verdicts the attacks are run on its examples."""
        # More than are needed are asked, as some are wrong.
        some = _spread(torch.arange(len(data)), 4 * count)
        right = correct(model, Part(data, some), batch_size=count)
        trial = Trial.of(model, data, engine="auto", batch_size=count, seed=seed)
        index = _spread(some[right], count)
        patient = _Patient(model, trial, within, attacks, index, torch.ones(len(index), dtype=torch.bool))
        if held is not None:
            return replace(patient, held=held[index])
        return replace(patient, held=patient.after(attacks, patient.held))

    def after(self, attacks: Sequence[Attack], held: Verdicts, *, seed: int = 0) -> Verdicts:
        """Return which examples hold against attacks, of those that `held` before."""
        trial, held = replace(self.trial, seed=self.trial.seed + seed), held.clone()
        for attack in attacks:
            left = held.nonzero()[:, 0]
            if len(left):
                rows = self.index[left]
                held[left] = trial.withstood(attack, self.within.rows(rows.to(device_of(self.model))), rows)[0]
        return held

    def examples(self, rows: Rows | None = None) -> tuple[Images, Labels]:
        """Return images and labels, of all examples or some, where the model is."""
        index, device = self.index if rows is None else self.index[rows], device_of(self.model)
        return self.trial.data.images(index).to(device), self.trial.data.labels[index].to(device)

    def gradient(self, loss: Callable[[Model, Labels], Callable[[Images], Scores]]) -> Points:
        """Return the gradient of a loss at each image."""
        images, labels = self.examples()
        images = images.requires_grad_()
        with torch.enable_grad():
            (grad,) = torch.autograd.grad(loss(self.model, labels)(images).sum(), images)
        return grad

    def logits(self) -> Tensor:
        """Return the model's logits on the examples."""
        with frozen(self.model), torch.no_grad():
            return self.model(self.examples()[0])


def _spread(rows: Rows, count: int) -> Rows:
    """Return at most `count` of some rows, evenly spread over them."""
    return rows if len(rows) <= count else rows[torch.linspace(0, len(rows) - 1, count).long()]


def _clear(verdicts: Verdicts, least: float) -> bool:
    """Return whether more than `least` of what is sampled is true, with 95 % confidence."""
    return Accuracy.of(verdicts).low > least


def _of(verdicts: Verdicts) -> str:
    return f"{int(verdicts.sum())} of {len(verdicts)} images"


def _training(model: Model) -> Symptom:
    modules = list(model.named_modules()) if isinstance(model, nn.Module) else []
    training = [name or "the model itself" for name, module in modules if module.training]
    finding = f"{len(training)} of {len(modules)} modules are in training mode"
    if training:
        finding += f" ({', '.join(training[:3])}{', ...' if len(training) > 3 else ''})"
    return Symptom(
        "training-mode",
        bool(training),
        finding,
        "the numbers here are those of evaluation mode; call model.eval() before you use the model, or it answers "
        "otherwise (dropout, statistics of the batch)",
    )


def _range(images: Images) -> Symptom:
    low, high = (float(value) for value in torch.aminmax(images)) if images.numel() else (math.nan, math.nan)
    inside = _inside(images) and images.numel() > 0
    return Symptom(
        "input-range",
        not inside or high <= 2 / 255 or low == high,
        f"values lie between {low:.4g} and {high:.4g}",
        "images must use the range [0, 1]: divide bytes by 255, once, and leave normalisation to the classifier"
        + ("" if inside else "; nothing else could be looked for"),
    )


def _answers(patient: _Patient) -> Symptom:
    images = patient.examples()[0] if len(patient.index) else patient.trial.data.images(torch.arange(1))
    steady = is_steady(patient.model, images.to(device_of(patient.model)))
    return Symptom(
        "random-answers",
        not steady,
        "the same images get the same logits twice" if steady else "the same images get other logits the second time",
        "the model has random parts, so one gradient says little and one answer may be luck; attack the "
        "expectation over its randomness (EoT: suite random) and average its answers",
    )


def _logits(patient: _Patient) -> Symptom:
    logits = patient.logits()
    labels = patient.examples()[1]
    finite = logits.isfinite().all(dim=1)
    loss = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    certain = loss == 0
    return Symptom(
        "saturated-logits",
        not bool(finite.all()) or float(certain.double().mean()) >= 0.5,
        f"logits are not finite at {_of(~finite)}; the cross-entropy is exactly 0 at {_of(certain)}; the largest "
        f"logit is {float(logits.nan_to_num().abs().max()):.3g}",
        "mend logits that are not finite; where certainty is 1 to the last bit the cross-entropy has no gradient, so "
        "use losses of the logits (suite pgd has the margin, apgd the DLR) or divide the logits by a constant",
    )


def _gradients(patient: _Patient) -> Symptom:
    still, stuck = (
        ((grad == 0) | ~grad.isfinite()).flatten(1).all(dim=1)
        for grad in (patient.gradient(cross_entropy), patient.gradient(margin))
    )
    advice = (
        "the margin has gradients where the cross-entropy has none: use suite pgd, apgd or stronger, and not quick"
        if not _clear(stuck, 0.01)
        else "the model passes no gradient on (rounding, thresholds, arg-max inside?): attack it without gradients, or "
        "through a smooth stand-in for that part (BPDA, Athalye et al. 2018)"
    )
    return Symptom(
        "zero-gradients",
        _clear(still, 0.01) or _clear(stuck, 0.01),
        f"the gradient is exactly zero or not finite at {_of(still)} for the cross-entropy and at {_of(stuck)} for the "
        "margin",
        advice,
    )


def _scale(patient: _Patient) -> Symptom:
    images, _ = patient.examples()
    within = patient.within.rows(patient.index.to(images.device))
    start = within.start(images)
    grey = torch.full_like(images, 0.5)
    same = start.shape == images.shape  # Otherwise points are poses, flows, ..., and grey is none of them.
    reached = (
        (within.project(grey.clone(), images) - grey).abs().flatten(1).amax(dim=1) < 1e-6
        if same
        else torch.zeros(len(images), dtype=torch.bool)
    )
    change = _reach(within, start, images)
    return Symptom(
        "eps-scale",
        bool(reached.double().mean() >= 0.5) or change < 0.1 / 255,
        f"the set reaches uniform grey from {_of(reached)}, and one step across it changes no value by more than "
        f"{change:.3g}",
        "where all images can be made the same grey no classifier can hold: take a smaller eps; where no value changes "
        "by a tenth of a grey level nothing is tested: take a larger one (eps is in units of [0, 1]: 8/255, not 8)",
    )


def _reach(within: ThreatModel, start: Points, images: Images) -> float:
    """Return the largest change of any value by a step as long as the set is wide, upwards or downwards."""
    size = torch.as_tensor(within.radius)
    if not bool(size.isfinite().all()):
        return math.inf
    ends = (
        within.decode(within.step(start, sign * torch.ones_like(start), images, step_size=within.radius), images)
        for sign in (1.0, -1.0)
    )
    return max(float((end - images).abs().max()) for end in ends)


def _steps(patient: _Patient) -> Symptom:
    attack = _gradient_attack(patient)
    longer = replace(attack, steps=3 * attack.steps)
    gained = patient.held & ~patient.after([longer], patient.held)
    return Symptom(
        "more-steps-help",
        _clear(gained, 0.01),
        f"{attack.name} with {longer.steps} steps in place of {attack.steps} has {_of(gained)} more",
        "the attacks had not converged: give them more steps, or a stronger suite (apgd chooses its own step size)",
    )


def _gradient_attack(patient: _Patient) -> Attack:
    """Return the suite's first attack that follows gradients; where there is none, the first of suite pgd."""
    follows = (each for each in patient.attacks if each.steps > 0 and each.rule.needs_gradient)
    return next(follows, attacks_of("pgd")[0])


DRAWS, QUERIES = 100, 300
"""How many random points, and then how many steps of a random search, each image is given."""


def _black_box(patient: _Patient) -> Symptom:
    blind = [Attack("random points", loss="margin", steps=0, relative_step=0.0, random_start=True, restarts=DRAWS)]
    if patient.within.order is not None:
        blind.append(Attack("square", loss="margin", steps=QUERIES, relative_step=0.0, rule=Square()))
    gained = patient.held & ~patient.after(blind, patient.held)
    search = f" and a random search of {QUERIES} steps have" if len(blind) > 1 else " has"
    return Symptom(
        "black-box-wins",
        _clear(gained, 0.01),
        f"the best of {DRAWS} random points{search} {_of(gained)} that the attacks did not have",
        "gradients mislead here (masking), so the true robust accuracy is lower: use suite standard, which searches "
        "without them too, and attack through a smooth stand-in for what hides the gradient (BPDA)",
    )


def _restarts(patient: _Patient) -> Symptom:
    attack = replace(_gradient_attack(patient), random_start=True, restarts=1)
    everyone = torch.ones_like(patient.held)
    first, second = (patient.after([attack], everyone, seed=seed) for seed in (1, 2))
    differ = first != second
    return Symptom(
        "restarts-disagree",
        _clear(differ, 0.05),
        f"{attack.name} from two random starts disagrees on {_of(differ)}",
        "where an attack ends hangs on where it starts: add restarts (the worst over them counts) until they agree",
    )


CHECKS: tuple[Callable[[_Patient], Symptom], ...] = (
    _answers,
    _logits,
    _gradients,
    _scale,
    _steps,
    _black_box,
    _restarts,
)
"""What is looked for on images that the model answers rightly; only the first also where there are none."""
