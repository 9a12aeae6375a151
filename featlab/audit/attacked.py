"""What an attack does to the images, which features carry it, and where in the spectrum it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from featlab.attacks import pgd
from featlab.audit.findings import Attacked, Carrier, Features, Flipped, Share, Spectrum
from featlab.audit.subject import Subject
from featlab.data import batches
from featlab.evaluation import Accuracy, predict
from featlab.features.flips import Flips, flips
from featlab.features.spectrum import interference, radial_spectrum
from featlab.intervals import Estimate, Mean, ends, shares
from featlab.models import head_of
from featlab.ops.random import normal
from featlab.problem import maximize
from featlab.types import Images, Scores

STEPS, BANDS = 40, 8
NOISE = 45
"""The purpose of the random numbers of noise; see `featlab.ops.random`."""


def attacked(subject: Subject) -> Attacked:
    """Return the images as 40 steps of PGD on the cross-entropy leave them, beside noise of the same lengths."""
    changed, noisy, data = [], [], subject.some
    subject.progress("attack", 0, len(data))
    for pixels, labels, index in batches(data, subject.batch_size):
        images, answers = (each.to(subject.model.device) for each in (pixels, labels))
        problem = pgd(
            subject.model,
            images,
            answers,
            within=subject.main.rows(index.to(images.device)),
            steps=STEPS,
            step_size=2.5 / STEPS * subject.main.radius,
            seed=subject.seed,
            examples=index,
        )
        found = maximize(problem)
        noise = normal(images, seed=subject.seed, examples=index.to(images.device), purpose=NOISE)
        size = _length(found - images) / _length(noise).clamp_min(1e-12)
        changed.append(found.cpu())
        noisy.append((images + size.reshape(-1, *[1] * (images.dim() - 1)) * noise).clamp(0, 1).cpu())
        subject.progress("attack", int(index[-1]) + 1, len(data))
    clean = data.images(torch.arange(len(data)))
    whole = torch.cat(changed)
    before, left, noise_left = (_accuracy(subject, each) for each in (clean, whole, torch.cat(noisy)))
    return Attacked(whole, before, left, noise_left, Mean.of(_length(whole - clean)))


def _length(change: Images) -> Scores:
    length: Scores = change.flatten(1).norm(dim=1)
    return length


def _accuracy(subject: Subject, images: Images) -> Accuracy:
    parts = [predict(subject.model, each.to(subject.model.device)).cpu() for each in images.split(subject.batch_size)]
    return Accuracy.of(torch.cat(parts) == subject.some.labels)


UNMEASURED = "not measured"


def flipped(subject: Subject, found: Attacked, features: Features) -> Flipped:
    """Return what robust and other features carried of the change between the old answer and the new one."""
    if not subject.splits:
        return Flipped(
            0, 0, 0, (), (), 0, "the answer is no weighted sum of these features, so it cannot be split over them"
        )
    verdicts = {row.unit: row.verdict for row in features.rows}
    made = _flips(subject, found.changed)
    rows = made.contributions[made.flipped()].double()
    count, total = len(rows), rows.shape[1]
    if count == 0:
        return Flipped(
            len(made.before), 0, total, (), (), 0, "the attack changed no answer, so nothing carried a change"
        )
    names = [verdicts.get(unit, UNMEASURED) for unit in range(total)]
    whole = rows.sum()
    mean = rows.sum(dim=0) / whole
    order = mean.argsort(descending=True, stable=True)
    half = int((mean[order].cumsum(0) < 0.5).sum()) + 1
    return Flipped(
        n=len(made.before),
        flipped=count,
        total=total,
        groups=_groups(rows, names, seed=subject.seed),
        strongest=tuple(Carrier(unit, names[unit], float(mean[unit])) for unit in order[:6].tolist()),
        half=half,
        reason="",
    )


def _flips(subject: Subject, changed: Images) -> Flips:
    device, parts = subject.model.device, []
    for images, _, index in batches(subject.some, subject.batch_size):
        made = flips(subject.model, images.to(device), changed[index].to(device))
        parts.append((made.contributions.cpu(), made.before.cpu(), made.after.cpu()))
    return Flips(*map(torch.cat, zip(*parts, strict=True)))


def _groups(rows: Tensor, names: Sequence[str], *, seed: int) -> tuple[Share, ...]:
    """Return each group's share of the change summed over images, with bootstrap intervals over the images."""
    known = [name for name in ("robust", "non-robust", "unclear", "useless", UNMEASURED) if name in names]
    member = torch.tensor([[name == group for group in known] for name in names], dtype=torch.float64)
    carried = rows @ member
    drawn = shares(len(rows), 1000, seed=seed) @ carried
    cloud = drawn / drawn.sum(dim=1, keepdim=True)
    low, high = ends(cloud)
    value = carried.sum(dim=0) / carried.sum()
    return tuple(
        Share(name, names.count(name), Estimate(float(value[at]), float(low[at]), float(high[at])))
        for at, name in enumerate(known)
    )


def spectrum(subject: Subject, found: Attacked) -> Spectrum:
    """Return where in the spectrum the changes lie, beside the images (less their mean) and white noise."""
    clean = subject.some.images(torch.arange(len(subject.some)))
    change = found.changed - clean
    change = change[_length(change) > 0]
    images = clean - clean.mean(dim=(2, 3), keepdim=True)
    centers = _centers(clean.shape[2:])
    flat = _flat(clean.shape[2:])
    weight = torch.tensor(centers, dtype=torch.float64)
    first, second = (radial_spectrum(each, bands=BANDS) for each in (change, images))
    return Spectrum(
        centers=centers,
        change=tuple(Mean.of(column) for column in first.T),
        images=tuple(Mean.of(column) for column in second.T),
        flat=tuple(flat.tolist()),
        pitch=Mean.of(first @ weight),
        images_pitch=Mean.of(second @ weight),
        flat_pitch=float(flat @ weight),
        overlap=_overlap(subject),
    )


def _corner(sides: Sequence[int]) -> float:
    """Return the largest distance from frequency 0, in cycles per pixel."""
    return float(torch.tensor([torch.fft.fftfreq(side).abs().max() for side in sides]).norm())


def _centers(sides: Sequence[int]) -> tuple[float, ...]:
    """Return the middle of each band, in cycles per pixel."""
    return tuple((band + 0.5) / BANDS * _corner(sides) for band in range(BANDS))


def _flat(sides: Sequence[int]) -> Tensor:
    """Return the bands' shares of all frequencies: those of a single changed pixel, whose spectrum is flat."""
    dot = torch.zeros(1, 1, *sides)
    dot[..., 0, 0] = 1
    return radial_spectrum(dot, bands=BANDS)[0]


def _overlap(subject: Subject) -> Mapping[str, float] | None:
    """Return how far the directions of the classes in the representation get into each other's way, if two have one."""
    if not subject.has_head:
        return None
    directions = head_of(subject.model).weight.detach().cpu()
    return interference(directions) if int(directions.any(dim=1).sum()) > 1 else None
