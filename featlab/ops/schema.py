"""What PyTorch's dispatcher knows of the operators: schemas, definitions as the implementation of last resort, fakes.

The compiled libraries register kernels for their device on top. Where one is missing, the dispatcher finds the
definition; nothing here asks whether a library is there.
"""

from collections.abc import Callable
from typing import Final

import torch

from featlab.ops import reference

_STEP = (
    "(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, float low, float high, Tensor(a!) out)"
)
_PROJECT = "(Tensor points, Tensor center, Tensor eps, float low, float high, Tensor(a!) out)"
_SAMPLE = "(Tensor center, Tensor eps, Tensor examples, int seed, int restart, float low, float high, Tensor(a!) out)"

_MOMENTUM_STEP = (
    "(Tensor points, Tensor grad, Tensor center, Tensor(a!) previous, Tensor(b!) best, Tensor(c!) best_grad, "
    "Tensor improved, Tensor back, Tensor eps, Tensor step_size, Tensor alpha, float low, float high, Tensor(d!) out)"
)

_HEAD_OUT = "Tensor(a!) value, Tensor(b!) margin, Tensor(c!) correct, Tensor(d!) cotangent"
_HEAD = f"(Tensor logits, Tensor labels, {_HEAD_OUT})"
_TARGETED_HEAD = f"(Tensor logits, Tensor labels, Tensor targets, {_HEAD_OUT})"

DEFINITIONS: Final[dict[str, tuple[str, Callable[..., None]]]] = {
    "linf_step": (_STEP, reference.linf_step),
    "linf_project": (_PROJECT, reference.linf_project),
    "linf_sample": (_SAMPLE, reference.linf_sample),
    "l2_step": (_STEP, reference.l2_step),
    "l2_project": (_PROJECT, reference.l2_project),
    "l2_sample": (_SAMPLE, reference.l2_sample),
    "fingerprint": ("(Tensor values, Tensor(a!) out)", reference.fingerprint),
    "keep_better": ("(Tensor values, Tensor take, Tensor index, Tensor(a!) best)", reference.keep_better),
    "cross_entropy_head": (_HEAD, reference.cross_entropy_head),
    "log_ratio_head": (_HEAD, reference.log_ratio_head),
    "margin_head": (_HEAD, reference.margin_head),
    "dlr_head": (_HEAD, reference.dlr_head),
    "dlr_targeted_head": (_TARGETED_HEAD, reference.dlr_targeted_head),
    "linf_momentum_step": (_MOMENTUM_STEP, reference.linf_momentum_step),
    "l2_momentum_step": (_MOMENTUM_STEP, reference.l2_momentum_step),
}


def define() -> torch.library.Library:
    """Define every operator in the namespace `featlab`; the definitions live as long as the returned library."""
    library = torch.library.Library("featlab", "DEF")
    for name, (arguments, definition) in DEFINITIONS.items():
        library.define(
            f"{name}{arguments} -> ()", tags=(torch.Tag.needs_fixed_stride_order, torch.Tag.pt2_compliant_tag)
        )
        library.impl(name, definition, "CompositeExplicitAutograd")
        torch.library.register_fake(f"featlab::{name}", _nothing, lib=library)
    return library


def _nothing(*arguments: object) -> None:
    """Return nothing: the operators write into `out`, whose shape the caller knows."""
    del arguments
