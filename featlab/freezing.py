"""Run a model without changing it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def frozen(model: Callable[..., Any]) -> Iterator[None]:
    """Put a model into evaluation mode without parameter gradients, and restore exactly what was found.

    Modes are restored per module and gradient flags per parameter, also after an exception. A callable that is no
    module has nothing to freeze. Buffers, .grad, random state and grad mode are never touched.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    modules = modules_of(model)
    training = [module for module in modules if module.training]
    learning = [
        parameter
        for module in modules
        for parameter in module._parameters.values()
        if parameter is not None and parameter.requires_grad
    ]
    try:
        for module in training:
            module.training = False  # Not .eval(), which would also switch off modules below that were not training.
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_(True)


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Return the model and all modules below, each once; `modules()` takes ten times as long, at every step."""
    found, waiting = {model: None}, [model]
    while waiting:
        below = [each for each in waiting.pop()._modules.values() if each is not None and each not in found]
        found |= dict.fromkeys(below)
        waiting += below
    return list(found)
