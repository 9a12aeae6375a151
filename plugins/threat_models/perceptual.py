"""Images that a net finds alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import nn

import featlab as fl

from .balls import normalized

KINDS: tuple[tuple[type[nn.Module], ...], ...] = (
    (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.ReLU6, nn.Tanh, nn.Sigmoid),
    (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    (nn.Linear,),
)
"""What is read where no layers are named: the first kind that the net has."""


@dataclass(frozen=True, eq=False)
class Perceptual(fl.ThreatModel):
    """Images whose features lie near the centre's: |phi(x') - phi(x)|_2 <= eps, values in [0, 1].

    phi(x) holds, for every layer, the activations at each place at length one over the channels, divided by the square
    root of the number of places. `model` is a net, or a spec such as zoo:NAME; `layers` are names of its modules, by
    default all of its activation functions (else convolutions, else linear layers). `eps` is one number or one each;
    between images it is at most 2 * sqrt(layers).

    A step goes along the normalised gradient; its size is the root mean square of the change of the values, and `size`
    is the one that relative ones multiply. The projection goes back along the straight line to the centre, to the
    farthest point found inside by at most `tries` looks at the net, so its result is inside exactly as `distance`
    measures it, but is not the nearest point. The set is not convex, and a line may leave and enter it again: the point
    found is one where it leaves.
    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", section 3
    (without learnt weights); Laidlaw et al. 2021, "Perceptual adversarial robustness", sections 3 and 4.
    """

    model: nn.Module | str = field(repr=False)
    eps: float | torch.Tensor
    layers: tuple[str, ...] | None = None
    size: float = 0.1
    tries: int = 10
    net: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not bool(torch.as_tensor(self.eps >= 0).all()):
            raise ValueError(f"eps must be a number >= 0, got {self.eps}")
        if not (self.size > 0 and self.tries >= 1):
            raise ValueError(f"size must be > 0 and tries >= 1, got {self.size} and {self.tries}")
        name = self.model if isinstance(self.model, str) else getattr(self.model, "label", type(self.model).__name__)
        object.__setattr__(self, "net", name)
        if isinstance(self.model, str):
            object.__setattr__(self, "model", fl.load(self.model, device="auto"))
        names = layers_to_read(self._net()) if self.layers is None else tuple(self.layers)
        _check_layers(self._net(), names)
        object.__setattr__(self, "layers", names)

    @property
    def radius(self) -> float:
        """The root mean square change that relative step sizes multiply."""
        return self.size

    def rows(self, index: torch.Tensor) -> Perceptual:
        """Return the threat model of some of the examples."""
        return replace(self, eps=self.eps.to(index.device)[index]) if isinstance(self.eps, torch.Tensor) else self

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return phi, (batch, features); an extractor like any other, so that `fl.match` can be asked for it."""
        net, names = self._net(), self.layers or ()
        weight = next(net.parameters(), images)
        with fl.frozen(net), _kept(net, names) as kept:
            net(images.to(weight.dtype))
        features: torch.Tensor = torch.cat([_unit(value) for name in names for value in kept[name]], dim=1)
        return features

    def distance(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return |phi(points) - phi(center)|_2, one number per example."""
        return length(self.features(points) - self.features(center))

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the points cut to [0, 1] where they are inside, else the last point inside on the way to them."""
        far = points.clamp(0, 1).nan_to_num(0.0)
        with torch.no_grad():
            home = self.features(center)

            def distance(images: torch.Tensor) -> torch.Tensor:
                return length(self.features(images) - home).double()

            limit = torch.as_tensor(self.eps, dtype=torch.float64, device=center.device).expand(len(center))
            return backtracked(distance, far, center, limit=limit, tries=self.tries)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad| times the root of the number of values, and 0 for a gradient of 0."""
        return math.sqrt(grad[:1].numel()) * normalized(grad)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in a Euclidean ball, whose radius is `size` by root mean square, brought inside."""
        length = self.size * math.sqrt(center[:1].numel())
        near = fl.ops.l2_sample(center, eps=length, seed=key.seed, examples=key.examples, restart=key.restart)
        return self.project(near, center)

    def _net(self) -> nn.Module:
        assert isinstance(self.model, nn.Module)
        return self.model


def length(features: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean length of each row."""
    found: torch.Tensor = torch.linalg.vector_norm(features, dim=1)
    return found


def backtracked(
    distance: Callable[[torch.Tensor], torch.Tensor],
    far: torch.Tensor,
    center: torch.Tensor,
    *,
    limit: torch.Tensor,
    tries: int,
) -> torch.Tensor:
    """Return `far` where its distance is at most `limit`, else a point on the line from `center` whose distance is.

    The line is searched by regula falsi with the Illinois rule. It aims at a distance a little below the limit, and
    takes what is half as little below, so that a distance rounded otherwise, in another batch, is still below it.
    Source: Dowell and Jarratt 1971, "A modified regula falsi method for computing the root of an equation".
    """
    over = distance(far) - limit
    inside = over <= 0
    if bool(inside.all()):
        return far
    aim, enough = limit * (1 - 2.0**-11), limit * (1 - 2.0**-12)
    low, high, below, above = torch.zeros_like(limit), torch.ones_like(limit), -aim, over + limit - aim
    found, last = center.clone(), torch.zeros_like(limit, dtype=torch.int64)
    for _ in range(tries):
        share = low + (high - low) * (below / (below - above)).nan_to_num(0.5).clamp(0.01, 0.99)
        points = _between(center, far, share)
        reached = distance(points)
        good = reached <= enough
        found = torch.where(_column(good, found), points, found)
        side = 2 * good.long() - 1
        # An end that stays twice counts half, so that the next point falls beyond the root.
        weight = torch.where(side == last, 0.5, 1.0)
        low, below = torch.where(good, share, low), torch.where(good, reached - aim, weight * below)
        high, above = torch.where(good, high, share), torch.where(good, weight * above, reached - aim)
        last = side
    return torch.where(_column(inside, found), far, found)


def _between(center: torch.Tensor, far: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return center + share (far - center), which rounding must not take out of [0, 1]."""
    return (center + share.to(center.dtype).reshape(-1, *[1] * (center.dim() - 1)) * (far - center)).clamp(0, 1)


def _column(verdicts: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return verdicts.reshape(-1, *[1] * (like.dim() - 1))


def _unit(values: torch.Tensor) -> torch.Tensor:
    """Return activations at length one over the channels, over the square root of the number of places, laid flat.

    Channels are dimension 1; of tokens, (batch, tokens, channels), the last.
    """
    values = values if values.dtype == torch.float64 else values.float()
    maps = values.movedim(-1, 1) if values.dim() == 3 else values
    # The small number keeps the gradient finite where all channels are zero.
    length = (maps.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
    return (maps / length / math.sqrt(maps[:1, :1].numel() or 1)).flatten(1)


def _modules(net: nn.Module) -> dict[str, nn.Module]:
    """Return a net's modules by the names that people use: a classifier's are those of its net."""
    return (
        net.layers() if isinstance(net, fl.Classifier) else {name: each for name, each in net.named_modules() if name}
    )


def layers_to_read(net: nn.Module) -> tuple[str, ...]:
    """Return the names of a net's activation functions; of its convolutions, or linear layers, where it has none."""
    modules = _modules(net)
    for kinds in KINDS:
        found = tuple(name for name, each in modules.items() if isinstance(each, kinds))
        if found:
            return found
    raise ValueError(f"{type(net).__name__} has no layers that are known to tell images apart; name them: layers=...")


def _check_layers(net: nn.Module, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in _modules(net)]
    if unknown or not names:
        raise ValueError(f"layers must be names of the net's modules, as `featlab layers` lists them; got {names}")


@contextmanager
def _kept(net: nn.Module, names: Sequence[str]) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Keep what layers answer while the net runs in this block: one value for each time that a layer runs."""
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    modules = _modules(net)

    def keeper(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        # A copy, as an operation in place further on may change the value.
        return lambda module, given, value: kept[name].append(value.clone())

    with ExitStack() as hooks:
        for name in names:
            hooks.callback(modules[name].register_forward_hook(keeper(name)).remove)
        yield kept


@dataclass(frozen=True, eq=False)
class Beyond(fl.Objective):
    """How far images are outside of a perceptual ball; see `beyond`."""

    within: Perceptual
    home: torch.Tensor

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Return max(0, |phi(x) - phi(c)|_2 - eps)."""
        eps = torch.as_tensor(self.within.eps, device=self.home.device)
        return (length(self.within.features(images) - self.home) - eps).clamp_min(0)

    def rows(self, index: torch.Tensor) -> Beyond:
        """Return the objective of some of the examples."""
        return Beyond(self.within.rows(index), self.home[index])


def beyond(within: Perceptual, images: torch.Tensor) -> Beyond:
    """Return how far x is outside of the perceptual ball around `images`, max(0, |phi(x) - phi(images)|_2 - eps).

    To be subtracted, many times, from what shall be climbed without leaving the ball far behind; what is found is then
    brought inside:

        problem = fl.Problem(fl.cross_entropy(model, labels) - 10 * beyond(within, images), images, box, 40, 0.05)
        found = within.project(fl.maximize(problem), images)

    Source: Laidlaw et al. 2021, section 4 (Lagrangian perceptual attack).
    """
    with torch.no_grad():
        return Beyond(within, within.features(images))
