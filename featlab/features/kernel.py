"""Features of a net's tangent kernel: the directions in which it would learn a small data set, one by one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from featlab.freezing import frozen
from featlab.types import Features, Images, Labels


@dataclass(frozen=True, eq=False)
class KernelFeatures:
    """An extractor of f_i(x) = K(x, X) v_i v_i' y / l_i, whose sum over all i is the kernel regression of y on X.

    K(x, x') = <dz_c(x)/dw, dz_c(x')/dw> is the tangent kernel of one logit at the present weights, l_i and v_i its
    eigenvalues and eigenvectors on the images X. Source: Tsilivis and Kempe 2022, section 3.
    """

    model: nn.Module = field(repr=False)
    unit: int
    eigenvalues: Tensor = field(repr=False)
    readout: Tensor = field(repr=False)

    def __call__(self, images: Images, /) -> Features:
        """Return one row per image, the features in order of falling eigenvalue."""
        # K(x, X) v_i = <dz(x)/dw, sum_j v_ij dz(x_j)/dw>: the sums over X are kept, so X is needed no more.
        with frozen(self.model):
            return slopes(self.model, images, self.unit) @ self.readout.to(images)


def slopes(model: nn.Module, images: Images, unit: int) -> Tensor:
    """Return dz_unit / dw for each image, (batch, parameters), with a gradient that reaches the images."""
    weights = {name: value.detach() for name, value in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def logit(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        found: Tensor = functional_call(model, {**parameters, **buffers}, (image[None],))[0, unit]
        return found

    def slope(image: Tensor) -> Tensor:
        grads: dict[str, Tensor] = grad(logit)(weights, image)
        return torch.cat([each.flatten() for each in grads.values()])

    with warnings.catch_warnings():
        # Where an operation has no batched form, as attention on a CPU, it goes one image at a time: slower, as right.
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        rows: Tensor = vmap(slope)(images)
    return rows


def kernel_features(
    model: nn.Module, images: Images, labels: Labels, *, unit: int = 0, count: int = 10, floor: float = 1e-6
) -> KernelFeatures:
    """Return the `count` tangent-kernel features of largest eigenvalue for telling class `unit` from the rest.

    `images` are few: their slopes, (images, parameters), are held in memory, and so is one vector of the size of the
    parameters for each feature. Eigenvalues below `floor` of the largest give no feature.
    """
    with torch.no_grad(), frozen(model):
        rows = slopes(model, images, unit).double()
        values, vectors = torch.linalg.eigh(rows @ rows.T)
    values, vectors = values.flip(0), vectors.flip(1)
    most = int((values > floor * values[0]).sum())
    if not 1 <= count <= most:
        raise ValueError(
            f"the kernel of {len(images)} images has {most} eigenvalues above the floor; got count={count}"
        )
    target = 2.0 * (labels == unit).double() - 1
    weight = (vectors[:, :count].T @ target) / values[:count]
    return KernelFeatures(model, unit, values[:count], (rows.T @ vectors[:, :count]) * weight)
