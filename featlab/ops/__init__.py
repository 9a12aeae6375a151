"""The Python face of the kernels: steps in balls, heads of losses, the loop's books, and what pictures are made with.

`reference` holds the definitions in PyTorch, `schema` tells the dispatcher, `native` loads the compiled libraries, and
`random` draws the same numbers as the kernels.
"""

from featlab.ops.accumulate import l2_accumulated_step, linf_accumulated_step
from featlab.ops.affine import affine, random_affine
from featlab.ops.apgd import l2_momentum_step, linf_momentum_step
from featlab.ops.balls import l2_project, l2_sample, l2_step, linf_project, linf_sample, linf_step
from featlab.ops.bookkeeping import fingerprint, keep_better
from featlab.ops.colour import colour, imagenet_colours
from featlab.ops.heads import Judged, judge, loss
from featlab.ops.hyperplane import hyperplane_project
from featlab.ops.judge_apgd import apgd_judge
from featlab.ops.native import status
from featlab.ops.sparse import l0_project, l0_sample, l0_step, l1_project, l1_sample, l1_step, l2_box_project
from featlab.ops.variation import total_variation, total_variation_slope

__all__ = [
    "Judged",
    "affine",
    "apgd_judge",
    "colour",
    "fingerprint",
    "hyperplane_project",
    "imagenet_colours",
    "judge",
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
    "loss",
    "random_affine",
    "status",
    "total_variation",
    "total_variation_slope",
]
