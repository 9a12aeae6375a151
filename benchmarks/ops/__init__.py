"""Every operator against its roof, PyTorch, torch.compile and the peers' functions that can be called by themselves."""

from benchmarks.ops.bench import run

__all__ = ["run"]
