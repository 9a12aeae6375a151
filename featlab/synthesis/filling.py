"""What fills a hole without a net: the mean, and the smoothest surface; and how faithful an in-painting is.

A mask is (batch or 1, 1, height, width), more than 0 in the hole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from featlab.types import Images, Mask, Scores


def mean_fill(images: Images, mask: Mask) -> Images:
    """Return images whose hole is filled with the mean of what is known, for each image and channel."""
    hole = hole_of(images, mask)
    known = (~hole).to(images.dtype)
    mean = (images * known).sum(dim=(2, 3), keepdim=True) / known.sum(dim=(2, 3), keepdim=True)
    return torch.where(hole, mean, images)


def biharmonic_fill(images: Images, mask: Mask) -> Images:
    """Return images whose hole is filled by the smoothest surface through its surroundings, clamped to [0, 1].

    argmin_u sum over all pixels of (L u)^2 with u = x outside the hole, L u the sum of differences from the direct
    neighbours that are in the picture: L L u = 0 in the hole. One dense solve in float64 for each hole, so it is for
    holes of up to some thousand pixels.
    Source: Damelin and Hoang 2018, "On surface completion and image inpainting by biharmonic functions".
    """
    hole = hole_of(images, mask)
    made = images.clone()
    same = bool((hole == hole[:1]).all())
    for rows in [slice(0, len(images))] if same else [slice(row, row + 1) for row in range(len(images))]:
        box = surroundings(hole[rows][0, 0])
        if box is not None:
            part = made[(rows, slice(None), *box)]
            made[(rows, slice(None), *box)] = smoothest(part, hole[rows][0, 0][box])
    return made


def hole_of(images: Images, mask: Mask) -> Tensor:
    """Return where the hole is, (batch, 1, height, width), after seeing that something is known of every image."""
    if images.dim() != 4 or mask.dim() != 4 or mask.shape[1] != 1 or mask.shape[0] not in {1, len(images)}:
        raise ValueError(
            "a hole is a mask (batch or 1, 1, height, width) for images (batch, channels, height, width); got "
            f"{tuple(mask.shape)} for {tuple(images.shape)}"
        )
    if mask.shape[2:] != images.shape[2:]:
        raise ValueError(f"a mask has the size of its images; got {tuple(mask.shape)} for {tuple(images.shape)}")
    hole = (mask > 0).expand(len(images), -1, -1, -1)
    if bool(hole.flatten(1).all(dim=1).any()):
        raise ValueError("a mask must leave some pixel of every image; one of these covers all")
    return hole


def surroundings(hole: Tensor) -> tuple[slice, slice] | None:
    """Return the box around a hole with two pixels on each side, which is all that its filling depends on."""
    places = hole.nonzero()
    if len(places) == 0:
        return None
    (top, left), (bottom, right) = places.amin(dim=0).tolist(), places.amax(dim=0).tolist()
    return slice(max(0, top - 2), bottom + 3), slice(max(0, left - 2), right + 3)


def smoothest(images: Images, hole: Tensor) -> Images:
    """Return images with the hole, (height, width), filled by the smoothest surface."""
    inside = hole.flatten()
    rows = laplacian(*hole.shape)
    across = rows[:, inside]
    # Rows that see no pixel of the hole do not depend on it.
    seen = across.abs().sum(dim=1) > 0
    across, known = across[seen], rows[seen][:, ~inside]
    flat = images.flatten(2).double().cpu()
    wanted = across.T @ (known @ flat[..., ~inside].flatten(0, 1).T)
    found = torch.linalg.solve(across.T @ across, -wanted)
    filled = flat.clone()
    filled[..., inside] = found.T.reshape(*flat.shape[:2], -1)
    return filled.clamp(0, 1).to(images).reshape(images.shape)


def laplacian(height: int, width: int) -> Tensor:
    """Return the matrix of L for a picture: the number of neighbours on the diagonal, -1 for each neighbour."""
    number = torch.arange(height * width).reshape(height, width)
    pairs = torch.cat(
        [
            torch.stack([number[:, 1:].flatten(), number[:, :-1].flatten()]),
            torch.stack([number[1:].flatten(), number[:-1].flatten()]),
        ],
        dim=1,
    )
    joined = torch.zeros(height * width, height * width, dtype=torch.float64)
    joined[pairs[0], pairs[1]] = joined[pairs[1], pairs[0]] = 1.0
    return joined.sum(dim=1).diag() - joined


def hole_error(images: Images, others: Images, mask: Mask) -> Scores:
    """Return the root of the mean square of x' - x in the hole alone, (batch,); NaN for an image without one."""
    hole = hole_of(images, mask).expand_as(images)
    squares = torch.where(hole, images - others, 0.0).square().flatten(1).sum(dim=1)
    return (squares / hole.flatten(1).sum(dim=1)).sqrt()


def known_change(images: Images, others: Images, mask: Mask) -> Scores:
    """Return max |x' - x| over what is known, (batch,): 0 for an in-painting that keeps it."""
    hole = hole_of(images, mask).expand_as(images)
    return torch.where(hole, 0.0, images - others).abs().flatten(1).amax(dim=1)
