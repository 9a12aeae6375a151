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
_VARIATION = "(Tensor images, Tensor weight, int kind, float delta, Tensor(a!) value, Tensor(b!) slope)"
_COLOUR = "(Tensor points, Tensor matrix, Tensor mean, Tensor std, Tensor(a!) out)"
_COLOUR_BACKWARD = "(Tensor grad, Tensor points, Tensor matrix, Tensor std, Tensor(a!) out)"
_AFFINE = "(Tensor images, Tensor theta, bool edge, Tensor(a!) out)"
_AFFINE_BACKWARD = "(Tensor grad, Tensor theta, bool edge, Tensor(a!) out)"
_SAMPLE = "(Tensor center, Tensor eps, Tensor examples, int seed, int restart, float low, float high, Tensor(a!) out)"
_L1_STEP = _STEP.replace("Tensor step_size", "Tensor step_size, Tensor count")
_L0_STEP = _STEP.replace("Tensor eps", "Tensor count").replace("float low", "int channels, float low")
_L0_PROJECT = _PROJECT.replace("Tensor eps", "Tensor count, int channels")
_L0_SAMPLE = _SAMPLE.replace("Tensor eps", "Tensor count").replace("float low", "int channels, float low")

_ACCUMULATED_STEP = (
    "(Tensor points, Tensor grad, Tensor center, Tensor(a!) momentum, Tensor eps, Tensor step_size, Tensor decay, "
    "float low, float high, Tensor(b!) out)"
)
_MOMENTUM_STEP = (
    "(Tensor points, Tensor grad, Tensor center, Tensor(a!) previous, Tensor(b!) best, Tensor(c!) best_grad, "
    "Tensor improved, Tensor back, Tensor eps, Tensor step_size, Tensor alpha, float low, float high, Tensor(d!) out)"
)

_APGD_JUDGE = (
    "(Tensor scores, Tensor windows, float rho, float alpha, Tensor(a!) number, Tensor(b!) score, "
    "Tensor(c!) best_score, Tensor(d!) checked_score, Tensor(e!) rises, Tensor(f!) factor, Tensor(g!) halved, "
    "Tensor(h!) improved, Tensor(i!) back, Tensor(j!) share)"
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
    "linf_accumulated_step": (_ACCUMULATED_STEP, reference.linf_accumulated_step),
    "l2_accumulated_step": (_ACCUMULATED_STEP, reference.l2_accumulated_step),
    "l2_box_project": (_PROJECT, reference.l2_box_project),
    "l1_step": (_L1_STEP, reference.l1_step),
    "l1_project": (_PROJECT, reference.l1_project),
    "l1_sample": (_SAMPLE, reference.l1_sample),
    "l0_step": (_L0_STEP, reference.l0_step),
    "l0_project": (_L0_PROJECT, reference.l0_project),
    "l0_sample": (_L0_SAMPLE, reference.l0_sample),
    "total_variation": (_VARIATION, reference.total_variation),
    "colour": (_COLOUR, reference.colour),
    "colour_backward": (_COLOUR_BACKWARD, reference.colour_backward),
    "affine": (_AFFINE, reference.affine),
    "affine_backward": (_AFFINE_BACKWARD, reference.affine_backward),
    "fingerprint": ("(Tensor values, Tensor(a!) out)", reference.fingerprint),
    "keep_better": ("(Tensor values, Tensor take, Tensor index, Tensor(a!) best)", reference.keep_better),
    "cross_entropy_head": (_HEAD, reference.cross_entropy_head),
    "log_ratio_head": (_HEAD, reference.log_ratio_head),
    "margin_head": (_HEAD, reference.margin_head),
    "dlr_head": (_HEAD, reference.dlr_head),
    "dlr_targeted_head": (_TARGETED_HEAD, reference.dlr_targeted_head),
    "apgd_judge": (_APGD_JUDGE, reference.apgd_judge),
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
