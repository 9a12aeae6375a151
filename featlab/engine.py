"""How a model runs inside the loop: a copy of it that is quicker, and answers the same up to rounding."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from featlab.models import Classifier
from featlab.names import lookup
from featlab.recording import CudaGraphs, Recorder
from featlab.types import Images, Logits

Model = Callable[[Images], Logits]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What may be changed in the copy of a model that an attack follows; the model itself always has the last word.

    `fold`: batch norms go into the convolutions before them, w' = w s / sqrt(v + c). `channels_last`: pictures and
    weights lie in memory channels last. `precision`: what the net computes in; "auto" is bfloat16 where the device has
    instructions for it, else float32. `compile`: torch.compile, which takes a compiler and some time. `capture`: on a
    CUDA device whole iterations (step, forward pass, loss, backward pass) are recorded as CUDA graphs and replayed, for
    batches that are rounded up to few sizes; it helps where launching kernels takes longer than running them, so for
    small nets, images and batches, and takes the memory of an iteration a second time.
    """

    fold: bool = False
    channels_last: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    compile: bool = False
    capture: bool = False

    def prepare(self, model: Model) -> Model:
        """Return what an attack should follow: the model itself where nothing may change, or a frozen, quicker copy."""
        if replace(self, capture=False) == Engine() or not isinstance(model, nn.Module):
            return model
        ready = copy.deepcopy(model).eval().requires_grad_(False)
        if self.fold:
            ready = _folded(ready)
        if self.channels_last:
            ready = ready.to(memory_format=torch.channels_last)
        device = next((each.device for each in model.parameters()), torch.device("cpu"))
        half = self.precision == "bfloat16" or (self.precision == "auto" and has_bfloat16(device))
        if half:
            ready = ready.bfloat16()
        run = _Prepared(ready, channels_last=self.channels_last, dtype=torch.bfloat16 if half else None)
        compiled: Model = torch.compile(run, dynamic=True) if self.compile else run
        return compiled

    def recorder(self, device: torch.device) -> Recorder | None:
        """Return what records the iterations of attacks on a device; None where nothing is to be recorded."""
        return Recorder(CudaGraphs(device)) if self.capture and device.type == "cuda" else None


class _Prepared(nn.Module):
    """A copy of a model with images brought to its layout and type, and logits in float32."""

    def __init__(self, model: nn.Module, *, channels_last: bool, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.model, self.channels_last = model, channels_last
        # A classifier normalises in float32 and casts by itself; pixels in bfloat16 are off by up to 1/512.
        self.dtype = None if isinstance(model, Classifier) else dtype
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        if self.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.model(images if self.dtype is None else images.to(self.dtype))
        return logits if logits.dtype == torch.float64 else logits.float()


def _folded(model: nn.Module) -> nn.Module:
    """Return the model with its batch norms in its convolutions; as it is, and a warning, where fx cannot follow."""
    from torch.fx.experimental.optimization import fuse

    try:
        if not isinstance(model, Classifier):
            return fuse(model)
        model.net = fuse(model.net)
    except Exception as error:  # Tracing runs the model's own code, which may fail in any way.
        reason = " ".join(str(error).split())
        warnings.warn(f"batch norms are not folded, as the net cannot be traced: {reason}", stacklevel=4)
    return model


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 by instructions of its own, and so is quicker in it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        "auto": Engine(),
        "fast": Engine(fold=True, channels_last=True, precision="auto", capture=True),
    }
)
"""Engines by name. "auto" changes no bit of what the model computes, "fast" all that was seen to help."""


def engine(choice: str | Engine) -> Engine:
    """Return an engine by its name; an engine is returned as it is."""
    return choice if isinstance(choice, Engine) else lookup("engine", choice, ENGINES)
