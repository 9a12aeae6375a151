"""Whole attacks on whole nets, featlab beside the peers: the same net, images and budget, with the fraction fooled."""

from benchmarks.attacks.bench import run

__all__ = ["run"]
