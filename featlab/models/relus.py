"""ReLUs that let gradients through where they are off, so that a feature that is off has a way up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

RELUS = frozenset({F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_})
"""The functions that compute max(x, 0), whichever way a net calls it; nn.ReLU calls the first."""

CAPPED = frozenset({F.relu6, F.hardtanh})
"""The functions that compute min(max(x, 0), c), the second only if told so; nn.ReLU6 calls the second."""


class Relus(TorchFunctionMode):
    """In this block ReLUs are counted, and the one that is `open` (1 for the first; 0 for none) passes its gradient.

    Its value is max(x, 0) as ever, or min(max(x, 0), 6), and its derivative 1 everywhere.
    """

    def __init__(self, open_one: int = 0) -> None:
        super().__init__()
        self.open, self.count = open_one, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function of PyTorch's as it is, or let the gradient of the open ReLU through."""
        del types
        named = dict(kwargs or {})
        if func in RELUS or (func in CAPPED and named.get("min_val", 0) == 0):
            self.count += 1
            if self.count == self.open:
                value: Tensor = args[0] if args else named["input"]
                cut = value.relu() if func in RELUS else value.clamp(0, named.get("max_val", 6))
                return value + (cut - value).detach()
        return func(*args, **named)
