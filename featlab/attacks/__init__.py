"""Attacks: short functions that return a Problem, and the suites made of them."""

from featlab.attacks.adversary import Adversary
from featlab.attacks.blackbox import square
from featlab.attacks.gradient import LOSSES, Model, apgd, pgd
from featlab.attacks.smallest import ddn, fab
from featlab.attacks.suites import SUITES, Attack, apgd_targeted, suite
from featlab.attacks.surrogates import non_transferable, transfer

__all__ = [
    "LOSSES",
    "SUITES",
    "Adversary",
    "Attack",
    "Model",
    "apgd",
    "apgd_targeted",
    "ddn",
    "fab",
    "non_transferable",
    "pgd",
    "square",
    "suite",
    "transfer",
]
