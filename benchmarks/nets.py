"""The nets under attack, trained once on embedded real images and kept in `benchmarks/.cache`."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import featlab as fl

CACHE = Path(__file__).parent / ".cache"
CLASSES = [str(number) for number in range(10)]


@dataclass(frozen=True)
class Recipe:
    """How a net came to be: on how many images, for how long, and against which adversary if it is a robust one."""

    architecture: str
    count: int
    epochs: int
    lr: float
    threat_model: str | None = None
    step_size: float = 0.0
    steps: int = 5

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image; ResNets get theirs with a border, and three equal channels."""
        return (3, 32, 32) if self.architecture.startswith("resnet") else (1, 28, 28)

    def quick(self) -> Recipe:
        """Return the recipe of --quick, whose net knows just enough to be attacked."""
        return replace(self, count=256 if self.architecture.startswith("resnet") else 1500, epochs=1)

    def path(self) -> Path:
        """Return where the net is kept."""
        return CACHE / f"{hashlib.sha256(repr(asdict(self)).encode()).hexdigest()[:16]}.safetensors"

    def __str__(self) -> str:
        trained = f"{self.architecture}, {self.epochs} epochs on {self.count} images of fashion-mini"
        return f"{trained}, PGD-{self.steps} in {self.threat_model}" if self.threat_model else trained


RECIPES = {
    "small_cnn standard": Recipe("small_cnn", 6000, 2, 0.05),
    "small_cnn robust linf": Recipe("small_cnn", 6000, 3, 0.05, "linf:eps=0.1", 0.05),
    "small_cnn robust l2": Recipe("small_cnn", 6000, 3, 0.05, "l2:eps=1.5", 0.75),
    "resnet18 standard": Recipe("resnet18", 3000, 1, 0.05),
}


def images_of(recipe: Recipe, *, train: bool, count: int) -> tuple[Tensor, Tensor]:
    """Return images in the net's shape, and labels."""
    images, labels = fl.load_data("fashion-mini", train=train, count=count)
    if recipe.shape == (3, 32, 32):
        images = F.pad(images, (2, 2, 2, 2)).expand(-1, 3, -1, -1).contiguous()
    return images, labels


def net(recipe: Recipe, device: torch.device) -> fl.Classifier:
    """Return the trained net, from the cache where it is there."""
    path = recipe.path()
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        fl.save(trained(recipe, device).cpu(), path, card={"recipe": str(recipe)})
    return fl.load(path, device=device)


def fresh(recipe: Recipe, device: torch.device) -> fl.Classifier:
    """Return an untrained net with fixed weights."""
    model = fl.build(recipe.architecture, mean=0.286, std=0.353, classes=CLASSES, shape=recipe.shape, seed=0)
    return model.to(device)


def inner(recipe: Recipe) -> fl.Adversary | None:
    """Return the adversary that the net trains against."""
    if recipe.threat_model is None:
        return None
    return fl.Adversary(fl.threat_model(recipe.threat_model), steps=recipe.steps, step_size=recipe.step_size)


def trained(recipe: Recipe, device: torch.device) -> fl.Classifier:
    """Return a fresh net after the recipe."""
    model = fresh(recipe, device)
    schedule = fl.Schedule(epochs=recipe.epochs, lr=recipe.lr)
    data = images_of(recipe, train=True, count=recipe.count)
    for _ in fl.train(model, data, schedule=schedule, inner=inner(recipe)):
        pass
    return model.eval()
