"""A model is only borrowed: see that it comes back as it was."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn


class Kept:
    """A block that must leave a model as it found it: modes, flags, gradients, weights, buffers and hooks.

    The model is in training or in evaluation mode during the block, as asked, and in its own mode again afterwards.
    """

    def __init__(self, model: nn.Module, *, training: bool) -> None:
        self._model, self._training = model, training
        self._modes: dict[nn.Module, bool] = {}
        self._before: dict[str, Any] = {}
        self._tensors: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        self._modes = {module: module.training for module in self._model.modules()}
        self._model.train(self._training)
        self._before, self._tensors = _facts(self._model), _tensors(self._model)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        facts, tensors = _facts(self._model), _tensors(self._model)
        for module, mode in self._modes.items():
            module.training = mode
        if error is not None:
            return
        for what, before in self._before.items():
            assert facts[what] == before, f"the model's {what} must be left as they were"
        for name, value in self._tensors.items():
            assert torch.equal(tensors[name], value), f"the model's {name} must be left as it was"


def _facts(model: nn.Module) -> dict[str, Any]:
    """Return what can be compared of a model: modes and hooks of each module, flags and gradients of each parameter."""
    modules = list(model.named_modules())
    return {
        "modes": {name: module.training for name, module in modules},
        "hooks": {name: _hooks(module) for name, module in modules},
        "gradient flags": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "gradients": {name: parameter.grad is None for name, parameter in model.named_parameters()},
    }


def _hooks(module: nn.Module) -> int:
    """Return how many hooks hang on a module."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for kind in kinds)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
