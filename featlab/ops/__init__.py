"""The Python face of the kernels: steps, projections and samples in the linf and l2 balls, and the loop's books.

`reference` holds the definitions in PyTorch, `schema` tells the dispatcher, `native` loads the compiled libraries, and
`random` draws the same numbers as the kernels.
"""

from featlab.ops.apgd import l2_momentum_step, linf_momentum_step
from featlab.ops.balls import l2_project, l2_sample, l2_step, linf_project, linf_sample, linf_step
from featlab.ops.bookkeeping import fingerprint, keep_better
from featlab.ops.heads import Judged, judge, loss
from featlab.ops.native import status

__all__ = [
    "Judged",
    "fingerprint",
    "judge",
    "keep_better",
    "l2_momentum_step",
    "l2_project",
    "l2_sample",
    "l2_step",
    "linf_momentum_step",
    "linf_project",
    "linf_sample",
    "linf_step",
    "loss",
    "status",
]
