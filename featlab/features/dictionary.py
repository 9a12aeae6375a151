"""Sparse dictionaries: a representation written as a few of many directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from featlab.data import Data, as_data
from featlab.features.extremes import read
from featlab.files import read_tensors, write_tensors
from featlab.types import FeatureExtractor, Features, Images, Labels


class Autoencoder(nn.Module):
    """Codes c = relu(E (f - b) + e) and their reconstruction D c + b; the directions, columns of D, have length one."""

    def __init__(self, features: int, width: int, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(width, features, generator=generator)
        start = start / start.norm(dim=1, keepdim=True)
        self.encoder = nn.Parameter(start.clone())
        self.decoder = nn.Parameter(start.clone())
        self.bias = nn.Parameter(torch.zeros(width))
        self.center = nn.Parameter(torch.zeros(features))

    def encode(self, features: Features) -> Tensor:
        """Return the codes, (batch, width), all >= 0."""
        return ((features - self.center) @ self.encoder.T + self.bias).relu()

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return the reconstruction and the codes."""
        codes = self.encode(features)
        return codes @ self.decoder + self.center, codes

    @torch.no_grad()
    def normalise(self) -> None:
        """Give every direction length one, so that codes cannot be made small by long directions."""
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12))


@dataclass(frozen=True)
class Fit:
    """How well a dictionary fits: the share of variance lost, codes used per example, the share of idle directions."""

    unexplained: float
    active: float
    dead: float


@dataclass(frozen=True, eq=False)
class Dictionary:
    """An extractor of the codes of another one's features under a trained autoencoder."""

    extract: FeatureExtractor = field(repr=False)
    autoencoder: Autoencoder
    scale: float

    @property
    def model(self) -> object:
        """The model that the features are read from, if there is one."""
        return getattr(self.extract, "model", None)

    def __call__(self, images: Images, /) -> Features:
        """Return one row of codes per image."""
        features = self.extract(images)
        codes: Features = self.autoencoder.to(features).encode(features * self.scale)
        return codes

    def save(self, path: Path) -> None:
        """Write the directions, whole or not at all; `load_dictionary` reads them."""
        tensors = {name: value.detach().cpu() for name, value in self.autoencoder.state_dict().items()}
        write_tensors(path, tensors, {"scale": repr(self.scale)})


def load_dictionary(extract: FeatureExtractor, path: Path) -> Dictionary:
    """Return a dictionary that was saved, on an extractor of as many features."""
    tensors, facts = read_tensors(path)
    if set(tensors) != {"encoder", "decoder", "bias", "center"} or "scale" not in facts:
        raise ValueError(f"{path} holds no dictionary; write one with Dictionary.save")
    width, features = tensors["encoder"].shape
    made = Autoencoder(features, width)
    made.load_state_dict(tensors)
    return Dictionary(extract, made.requires_grad_(False), float(facts["scale"]))


def sparse_dictionary(
    extract: FeatureExtractor,
    data: Data | tuple[Images, Labels],
    *,
    width: int,
    sparsity: float = 0.1,
    epochs: int = 50,
    lr: float = 3e-3,
    batch_size: int = 256,
    seed: int = 0,
) -> tuple[Dictionary, Fit]:
    """Return a dictionary of `width` directions of a representation, and how well it fits the data that it learned.

    min E[|f - D c - b|^2 + sparsity * |c|_1] over the features, scaled so that E|f - E f|^2 is their number. Directions
    keep length one. Source: Cunningham et al. 2023 and Bricken et al. 2023 (sparse autoencoders).
    """
    if width < 1 or sparsity < 0 or epochs < 0:
        raise ValueError(f"width must be >= 1, sparsity and epochs >= 0; got {width}, {sparsity} and {epochs}")
    values, _ = read(extract, as_data(data), batch_size=batch_size)
    spread = float(values.var(dim=0, correction=0).sum())
    if not spread > 0:
        raise ValueError("the features are the same for every example, so there is nothing to write in directions")
    scale = (values.shape[1] / spread) ** 0.5
    scaled = (values * scale).float()
    made = Autoencoder(values.shape[1], width, seed=seed)
    with torch.no_grad():
        made.center.copy_(scaled.mean(dim=0))
    optimizer = torch.optim.Adam(made.parameters(), lr=lr)
    for rows in _orders(len(scaled), epochs, min(batch_size, len(scaled)), seed=seed):
        _learn(made, optimizer, scaled[rows], sparsity)
    return Dictionary(extract, made.requires_grad_(False), scale), _fit(made, scaled)


def _orders(count: int, epochs: int, batch: int, *, seed: int) -> Iterator[Tensor]:
    """Yield the rows of each batch, in a new order in every epoch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator).split(batch)


def _learn(made: Autoencoder, optimizer: torch.optim.Optimizer, features: Features, sparsity: float) -> None:
    """Take one step of the optimiser."""
    again, codes = made(features)
    loss = (again - features).square().sum(dim=1).mean() + sparsity * codes.sum(dim=1).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    made.normalise()


@torch.no_grad()
def _fit(made: Autoencoder, scaled: Features) -> Fit:
    again, codes = made(scaled)
    used = codes > 0
    lost = (again - scaled).square().sum() / (scaled - scaled.mean(dim=0)).square().sum()
    return Fit(float(lost), float(used.double().sum(dim=1).mean()), float((~used.any(dim=0)).double().mean()))
