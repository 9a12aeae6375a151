"""What lies how in memory: the kernels work on examples that are dense blocks behind each other, in one order."""

import torch
from torch import Tensor


def is_block_layout(tensor: Tensor) -> bool:
    """Return whether each example is one dense block, in whatever order of dimensions, and the blocks follow on."""
    if tensor.numel() == 0 or tensor.is_contiguous():
        return True
    size = tensor.numel() // len(tensor)
    expected = 1
    for stride, length in sorted(zip(tensor.stride()[1:], tensor.shape[1:], strict=True)):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return len(tensor) == 1 or tensor.stride(0) == size


def same_layout(a: Tensor, b: Tensor) -> bool:
    """Return whether tensors of equal shape have equal strides wherever strides matter."""
    if a.stride() == b.stride():
        return True
    pairs = zip(a.stride(), b.stride(), a.shape, strict=True)
    return all(mine == theirs for mine, theirs, length in pairs if length > 1)


def blocks(tensor: Tensor) -> Tensor:
    """Return `tensor`, or a contiguous copy where its examples are no dense blocks."""
    return tensor if is_block_layout(tensor) else tensor.contiguous()


def like(tensor: Tensor, template: Tensor) -> Tensor:
    """Return `tensor`, or a copy of it that lies in memory as `template` does."""
    return tensor if same_layout(tensor, template) else empty_like(template, dtype=tensor.dtype).copy_(tensor)


def empty_like(template: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """Return an uninitialised tensor with the strides of `template`."""
    return torch.empty_strided(template.shape, template.stride(), dtype=dtype or template.dtype, device=template.device)
