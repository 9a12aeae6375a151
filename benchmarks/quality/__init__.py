"""What a robust net, a standard net and a method without a net make of the same tasks, judged by a third net."""

from benchmarks.quality.bench import run

__all__ = ["run"]
