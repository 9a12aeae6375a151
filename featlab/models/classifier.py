"""A classifier: a net that takes images in [0, 1] and normalises by itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featlab.models.architecture import Architecture, architecture_of
from featlab.types import Images, Logits


class Classifier(nn.Module):
    """A net with its normalisation, classes and input shape: images in [0, 1] go in, logits come out.

    logits(x) = net((x - mean) / std)
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        classes: Sequence[str],
        shape: Sequence[int],
        name: str = "",
        resize: int | Sequence[int] | None = None,
        architecture: Architecture | None = None,
    ) -> None:
        """Wrap `net`.

        `mean` and `std` are one number, or one per channel (the first entry of `shape`); `shape` is one image's.
        `resize` is the side or (height, width) that images are brought to before the net, bilinearly.
        `architecture` says how the net was built, where the net does not say so itself; only then can it be saved.
        """
        super().__init__()
        self.net = net
        self.shape = tuple(int(side) for side in shape)
        self.classes = tuple(str(each) for each in classes)
        self.mean = per_channel("mean", mean, self.shape)
        self.std = per_channel("std", std, self.shape)
        self.name = name
        self.resize = two_sides(resize)
        self.architecture = architecture or architecture_of(net)
        self._check()
        start = next(tensors_of(net), torch.zeros(()))
        self.register_buffer("scale", torch.ones((), device=start.device), persistent=False)
        self._place_normalization()

    def _check(self) -> None:
        if not self.classes:
            raise ValueError("a classifier needs the names of its classes; got none")
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape must be one image's, such as (3, 32, 32); got {self.shape}")
        if not (min(self.std) > 0 and all(map(math.isfinite, self.mean + self.std))):
            raise ValueError(f"mean must be finite and std positive; got mean {self.mean} and std {self.std}")
        if self.resize is not None and len(self.shape) != 3:
            raise ValueError(f"only pictures (channels, height, width) can be resized; got shape {self.shape}")

    def _place_normalization(self) -> None:
        # (x - mean) / std as x * scale + shift: one operation, its numbers computed exactly and placed beside the net.
        precision = torch.float64 if self.dtype == torch.float64 else torch.float32
        options: dict[str, Any] = {"dtype": precision, "device": self.device}
        view = (1, -1, *[1] * (len(self.shape) - 1))
        scale = [1 / std for std in self.std]
        shift = [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]
        self.register_buffer("scale", torch.tensor(scale, **options).view(view), persistent=False)
        self.register_buffer("shift", torch.tensor(shift, **options).view(view), persistent=False)
        self._plain = set(scale) == {1.0} and set(shift) == {0.0}

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Classifier:
        super()._apply(fn, recurse)
        self._place_normalization()  # Anew: a cast to bfloat16 must not round the mean.
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The floating type that the net computes in."""
        return next((each.dtype for each in self.net.parameters() if each.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the net is."""
        return next(tensors_of(self.net), self.scale).device

    def forward(self, images: Images) -> Logits:
        """Return the logits: float64 from a float64 net, else float32."""
        if images.shape[1:] != self.shape or not images.is_floating_point():
            raise ValueError(self._misfit(images))
        inputs = images.to(self.scale.dtype)  # At least float32: bfloat16 rounds pixels by up to 1/512.
        if self.resize is not None and self.shape[1:] != self.resize:
            inputs = F.interpolate(inputs, self.resize, mode="bilinear", antialias=True)
        if not self._plain:
            inputs = torch.addcmul(self.shift, inputs, self.scale)
        outputs = self.net(inputs.to(self.dtype))
        logits = getattr(outputs, "logits", outputs)  # Some nets answer with a record of outputs.
        if not isinstance(logits, Tensor) or logits.shape != (len(images), len(self.classes)):
            raise ValueError(self._strange(logits))
        return logits.to(self.scale.dtype)

    def _misfit(self, images: Tensor) -> str:
        wanted = ", ".join(map(str, self.shape))
        return (
            f"{self.label} takes float images of shape (batch, {wanted}) in [0, 1]; got {images.dtype} of shape "
            f"{tuple(images.shape)}; convert or resize them, or use classifier.with_shape(...) if the net is fit for it"
        )

    def _strange(self, logits: object) -> str:
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        return f"the net of {self.label} must answer (batch, {len(self.classes)}) logits, one per class; got {got}"

    @property
    def label(self) -> str:
        """What to call this classifier in a sentence."""
        known = self.name or (self.architecture.name if self.architecture else type(self.net).__name__)
        return f"classifier {known!r}"

    def layers(self) -> dict[str, nn.Module]:
        """Return the net's modules by their dotted names, in the order of definition."""
        return {name: module for name, module in self.net.named_modules(remove_duplicate=False) if name}

    def with_shape(self, shape: Sequence[int]) -> Classifier:
        """Return a classifier of images of another shape around the same net."""
        return Classifier(
            self.net,
            mean=self.mean[0] if len(set(self.mean)) == 1 else self.mean,
            std=self.std[0] if len(set(self.std)) == 1 else self.std,
            classes=self.classes,
            shape=shape,
            name=self.name,
            resize=self.resize,
            architecture=self.architecture,
        )

    def normalization(self) -> dict[str, Any]:
        """Return what happens to an image before the net, as a JSON object."""
        resize = None if self.resize is None else list(self.resize)
        return {"mean": list(self.mean), "std": list(self.std), "resize": resize}

    def hash(self) -> str:
        """Return the SHA-256 (hex) of the function: weights, normalisation and architecture.

        Values count, not how they are stored: a bfloat16 net and its exact copy in float32 have one hash.
        """
        record = self.architecture.record() if self.architecture else None
        return fingerprint(self.net.state_dict(), {"normalization": self.normalization(), "architecture": record})

    def extra_repr(self) -> str:
        """Say what cannot be seen in the net."""
        return f"name={self.name!r}, shape={self.shape}, classes={len(self.classes)}"


def per_channel(what: str, value: float | Sequence[float], shape: tuple[int, ...]) -> tuple[float, ...]:
    """Return one number per channel."""
    channels = shape[0] if shape else 1
    numbers = (float(value),) * channels if isinstance(value, int | float) else tuple(map(float, value))
    if len(numbers) == 1:
        numbers *= channels
    if len(numbers) != channels:
        raise ValueError(
            f"{what} must be one number or one per channel, {channels} for shape {shape}; got {len(numbers)}"
        )
    return numbers


def two_sides(resize: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return (height, width) of what may be given as one side."""
    if resize is None:
        return None
    sides = (resize, resize) if isinstance(resize, int) else tuple(resize)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"resize must be a side or (height, width), each at least 1; got {resize!r}")
    return sides[0], sides[1]


def tensors_of(net: nn.Module) -> Iterator[Tensor]:
    """Yield parameters, then buffers."""
    yield from net.parameters()
    yield from net.buffers()


def fingerprint(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of named tensors, by value, and of JSON facts."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        if value.is_floating_point() and value.dtype != torch.float64:
            value = value.float()  # Exact from every shorter type.
        digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
