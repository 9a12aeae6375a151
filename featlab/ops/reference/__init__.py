"""The definitions of the kernels in PyTorch, a file per family.

A kernel must give the same bits (linf), or err at most as much (where it sums). Each function has the arguments of the
operator of its name: tensors of one float type, `eps` and `step_size` of one element or one per example, bounds that
the type represents; the result is written into `out`.
"""

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

__all__ = [
    "cross_entropy_head",
    "dlr_head",
    "dlr_targeted_head",
    "fingerprint",
    "keep_better",
    "l2_momentum_step",
    "l2_project",
    "l2_sample",
    "l2_step",
    "linf_momentum_step",
    "linf_project",
    "linf_sample",
    "linf_step",
    "log_ratio_head",
    "margin_head",
]
