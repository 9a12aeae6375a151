"""The Python face of the kernels: steps in balls, and what pictures are made with.

`reference` holds the definitions in PyTorch, `schema` tells the dispatcher, `native` loads the compiled libraries, and
`random` draws the same numbers as the kernels.
"""

from featlab.ops.affine import affine, random_affine
from featlab.ops.balls import l2_project, l2_sample, l2_step, linf_project, linf_sample, linf_step
from featlab.ops.colour import colour, imagenet_colours
from featlab.ops.native import status
from featlab.ops.variation import total_variation, total_variation_slope

__all__ = [
    "affine",
    "colour",
    "imagenet_colours",
    "l2_project",
    "l2_sample",
    "l2_step",
    "linf_project",
    "linf_sample",
    "linf_step",
    "random_affine",
    "status",
    "total_variation",
    "total_variation_slope",
]
