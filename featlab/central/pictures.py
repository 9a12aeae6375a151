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


def _answers(net: Classifier, images: Images) -> str:
    return ", ".join(net.classes[int(label)] for label in predict(net, images))


def _adversarial(
    nets: Nets, images: Images, labels: Labels, names: tuple[str, ...], *, kind: str, eps: float
) -> Picture:
    """Originals, and the worst images that PGD finds inside the set for each net."""
    rows, said = [("original", images)], []
    for title, net in nets:
        within = threat_model(kind, eps=eps)
        found = maximize(pgd(net, images, labels, within=within, steps=40, step_size=2.5 * eps / 40))
        rows.append((f"worst for the {title}", found))
        said.append(f"The {title} answers: {_answers(net, found)}.")
    caption = f"Test images and what 40 steps of PGD make of them inside {kind} eps {eps:g}. " + " ".join(said)
    return Picture("Adversarial examples", caption, tuple((label, each.cpu()) for label, each in rows), names)


def _large(nets: Nets, images: Images, labels: Labels, names: tuple[str, ...], *, kind: str, eps: float) -> Picture:
    """What each net takes for the next class, with room to change much."""
    classes = len(nets[0][1].classes)
    targets = (labels + 1) % classes
    rows = [("original", images)]
    for title, net in nets:
        problem = task("large-eps")(model=net, images=images, labels=targets, within=threat_model(kind, eps=eps))
        rows.append((f"towards the next class, {title}", maximize(problem)))
    wanted = ", ".join(nets[0][1].classes[int(label)] for label in targets)
    caption = (
        f"Moved towards the next class ({wanted}) inside {kind} eps {eps:g}, far more than an eye would miss. "
        "Where a net uses features that people use, its images turn into that class (Tsipras et al. 2019, section 3.3)."
    )
    return Picture("Large-eps adversarial examples", caption, tuple((name, each.cpu()) for name, each in rows), names)


def _sets(data: Data, found: Found) -> Picture:
    """The same training images in every constructed set."""
    rows = first_of_each_class(data.labels, at_most=10)
    shown = [("original", data.images(rows))]
    said = []
    for name, title in (("d_rand", "D_rand"), ("d_rand_noise", "noise control"), ("d_det", "D_det")):
        shown.append((title, found.sets[name].images(rows)))
        answers = ", ".join(found.standard.classes[int(label)] for label in found.sets[name].labels[rows])
        said.append(f"{title}: {answers}.")
    shown += [(title, found.sets[name].images(rows)) for name, title in (("d_r", "D_R"), ("d_nr", "D_NR"))]
    caption = (
        "Training images and what stands in their place in each set. The labels in the relabelled sets are "
        + " ".join(said)
        + " In D_R and D_NR the labels are those of the originals: what the robust or the standard net sees of the "
        "original was put into an unrelated image."
    )
    names = tuple(found.standard.classes[int(label)] for label in data.labels[rows])
    return Picture("The constructed sets", caption, tuple(shown), names)


def _saliency(nets: Nets, images: Images, labels: Labels, names: tuple[str, ...]) -> Picture:
    """The gradient of the loss at each pixel, drawn with one scale per net."""
    rows = [("original", images.cpu())]
    for title, net in nets:
        points = images.clone().requires_grad_()
        with torch.enable_grad():
            (grad,) = torch.autograd.grad(cross_entropy(net, labels)(points).sum(), points)
        rows.append((f"gradient of the {title}", saliency_images(grad.cpu())))
    caption = (
        "The gradient of the loss with respect to each pixel: red raises the loss, blue lowers it, white is zero. Each "
        "row has one scale, from minus to plus its own largest absolute value (Tsipras et al. 2019, section 3.1)."
    )
    return Picture("Saliency", caption, tuple(rows), names)
