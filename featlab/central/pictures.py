"""The pictures of the central experiment."""

from __future__ import annotations

import torch

from featlab.attacks import pgd
from featlab.central.experiment import Experiment, Found
from featlab.data import Data
from featlab.evaluation import predict
from featlab.models import Classifier
from featlab.objectives import cross_entropy
from featlab.plugins import task, threat_model
from featlab.problem import maximize
from featlab.report import Picture, saliency_images
from featlab.types import Images, Labels, Rows

Nets = tuple[tuple[str, Classifier], ...]


def pictures(experiment: Experiment, found: Found) -> list[Picture]:
    """Return the grids of the report, all of the same test images, the first of each class."""
    data, recipe = experiment.test_data, experiment.recipe
    rows = first_of_each_class(data.labels, at_most=10)
    images, labels = data.images(rows).to(found.standard.device), data.labels[rows].to(found.standard.device)
    names = tuple(data.classes[int(label)] for label in labels)
    nets = (("standard net", found.standard), ("robust net", found.robust))
    return [
        _adversarial(nets, images, labels, names, kind=recipe.threat_model, eps=recipe.eps),
        _large(nets, images, labels, names, kind=recipe.threat_model, eps=recipe.large_eps),
        _sets(experiment.train_data, found),
        _saliency(nets, images, labels, names),
    ]


def first_of_each_class(labels: Labels, *, at_most: int) -> Rows:
    """Return the first row of each class, in the order of the classes."""
    return torch.stack([(labels == label).nonzero()[0, 0] for label in labels.unique()[:at_most]])


def _answers(net: Classifier, images: Images) -> tuple[str, ...]:
    return tuple(net.classes[int(label)] for label in predict(net, images))


def _adversarial(
    nets: Nets, images: Images, labels: Labels, names: tuple[str, ...], *, kind: str, eps: float
) -> Picture:
    """Originals, and the worst images that PGD finds inside the set for each net."""
    rows = [("original", images.cpu())]
    notes: list[tuple[str, ...]] = [()]
    within = threat_model(kind, eps=eps)
    for title, net in nets:
        found = maximize(pgd(net, images, labels, within=within, steps=40, step_size=2.5 * eps / 40))
        rows.append((f"worst for the {title}", found.cpu()))
        notes.append(_answers(net, found))
    caption = (
        f"Test images, and what 40 steps of PGD make of them inside {kind} eps {eps:g} (Madry et al. 2018, section "
        "2.1). Under each image stands what the net of its row answers."
    )
    return Picture("Adversarial examples", caption, tuple(rows), names, tuple(notes))


def _large(nets: Nets, images: Images, labels: Labels, names: tuple[str, ...], *, kind: str, eps: float) -> Picture:
    """What each net takes for the next class, with room to change much."""
    classes = nets[0][1].classes
    targets = (labels + 1) % len(classes)
    rows = [("original", images.cpu())]
    notes: list[tuple[str, ...]] = [()]
    for title, net in nets:
        problem = task("large-eps")(model=net, images=images, labels=targets, within=threat_model(kind, eps=eps))
        found = maximize(problem)
        rows.append((f"towards the next class, {title}", found.cpu()))
        notes.append(_answers(net, found))
    caption = (
        f"Moved towards the next class inside {kind} eps {eps:g}, far more than an eye would miss; under each image "
        "stands what the net of its row answers. Where a net uses features that people use, its images turn into that "
        "class (Tsipras et al. 2019, section 3.3)."
    )
    return Picture("Large-eps adversarial examples", caption, tuple(rows), names, tuple(notes))


def _sets(data: Data, found: Found) -> Picture:
    """The same training images in every constructed set, each over its label there."""
    classes = found.standard.classes
    chosen = first_of_each_class(data.labels, at_most=10)
    rows = [("original", data.images(chosen))]
    notes: list[tuple[str, ...]] = [()]
    for name, title in SHOWN:
        made = found.sets[name]
        rows.append((title, made.images(chosen)))
        notes.append(tuple(classes[int(label)] for label in made.labels[chosen]))
    caption = (
        "Training images, and what stands in their place in each set; under each image stands its label there. In D_R "
        "and D_NR what the robust or the standard net sees of the original was put into an unrelated image."
    )
    names = tuple(classes[int(label)] for label in data.labels[chosen])
    return Picture("The constructed sets", caption, tuple(rows), names, tuple(notes))


SHOWN = (("d_rand", "D_rand"), ("d_rand_noise", "noise control"), ("d_det", "D_det"), ("d_r", "D_R"), ("d_nr", "D_NR"))
"""The sets of the picture, and what they are called there."""


def _saliency(nets: Nets, images: Images, labels: Labels, names: tuple[str, ...]) -> Picture:
    """The gradient of the loss at each pixel; each image has its own scale, as gradients differ by many powers of ten.

    Source: Tsipras et al. 2019, section 3.1 (clipped at three standard deviations).
    """
    rows = [("original", images.cpu())]
    for title, net in nets:
        points = images.clone().requires_grad_()
        with torch.enable_grad():
            (grad,) = torch.autograd.grad(cross_entropy(net, labels)(points).sum(), points)
        drawn = [saliency_images(each[None], scale=3 * float(each.std()) or None) for each in grad.cpu()]
        rows.append((f"gradient of the {title}", torch.cat(drawn)))
    caption = (
        "The gradient of the loss with respect to each pixel: red raises the loss, blue lowers it, white is zero. Each "
        "image has its own scale, cut at three standard deviations (Tsipras et al. 2019, section 3.1)."
    )
    return Picture("Saliency", caption, tuple(rows), names)
