"""The Python face of the kernels: steps, projections and samples in the linf, l2, l1 and l0 balls.

`reference` holds the definitions in PyTorch, `schema` tells the dispatcher, `native` loads the compiled libraries, and
`random` draws the same numbers as the kernels.
"""

from featlab.ops.balls import l2_project, l2_sample, l2_step, linf_project, linf_sample, linf_step
from featlab.ops.native import status
from featlab.ops.sparse import l0_project, l0_sample, l0_step, l1_project, l1_sample, l1_step, l2_box_project

__all__ = [
    "l0_project",
    "l0_sample",
    "l0_step",
    "l1_project",
    "l1_sample",
    "l1_step",
    "l2_box_project",
    "l2_project",
    "l2_sample",
    "l2_step",
    "linf_project",
    "linf_sample",
    "linf_step",
    "status",
]
