"""The definitions of the kernels in PyTorch, a file per family.

A kernel must give the same bits (linf), or err at most as much (where it sums). Each function has the arguments of the
operator of its name: tensors of one float type, `eps` and `step_size` of one element or one per example, bounds that
the type represents; the result is written into `out`.
"""

from featlab.ops.reference.accumulate import l2_accumulated_step, linf_accumulated_step
from featlab.ops.reference.apgd import l2_momentum_step, linf_momentum_step
from featlab.ops.reference.balls import l2_project, l2_sample, l2_step, linf_project, linf_sample, linf_step
from featlab.ops.reference.bookkeeping import fingerprint, keep_better
from featlab.ops.reference.heads import (
    cross_entropy_head,
    dlr_head,
    dlr_targeted_head,
    log_ratio_head,
    margin_head,
)
from featlab.ops.reference.judge import apgd_judge
from featlab.ops.reference.pictures import affine, affine_backward, colour, colour_backward, total_variation
from featlab.ops.reference.sparse import l0_project, l0_sample, l0_step, l1_project, l1_sample, l1_step, l2_box_project

__all__ = [
    "affine",
    "affine_backward",
    "apgd_judge",
    "colour",
    "colour_backward",
    "cross_entropy_head",
    "dlr_head",
    "dlr_targeted_head",
    "fingerprint",
    "keep_better",
    "l0_project",
    "l0_sample",
    "l0_step",
    "l1_project",
    "l1_sample",
    "l1_step",
    "l2_accumulated_step",
    "l2_box_project",
    "l2_momentum_step",
    "l2_project",
    "l2_sample",
    "l2_step",
    "linf_accumulated_step",
    "linf_momentum_step",
    "linf_project",
    "linf_sample",
    "linf_step",
    "log_ratio_head",
    "margin_head",
    "total_variation",
]
