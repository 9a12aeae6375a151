"""What the central experiment claims, each a check of the numbers that were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, whether it was seen here, and the numbers that say so."""

    claim: str
    seen: bool
    text: str


def claims(result: Mapping[str, Any]) -> list[Claim]:
    """Return every claim as it was or was not seen; seen means that the 95 % intervals are apart."""
    made = result["constructed"]
    return [
        *_of_the_nets(result),
        *(_of_perturbed(made[name], title) for name, title in (("d_rand", "D_rand"), ("d_det", "D_det"))),
        _second_seed(made),
        *_of_represented(result),
    ]


def _of_the_nets(result: Mapping[str, Any]) -> list[Claim]:
    eps, standard, robust = result["eps"], result["standard"], result["robust"]
    broken, held = at(standard["robust"], eps), at(robust["robust"], eps)
    return [
        Claim(
            "A standard net is accurate and not robust; robust training makes a net that holds.",
            held["low"] > broken["high"],
            f"At eps {eps:g} the standard net keeps {share(broken)} of the test images and the robust net "
            f"{share(held)}; without attack they have {share(standard['clean'])} and {share(robust['clean'])}.",
        )
    ]


def _of_perturbed(row: Mapping[str, Any], title: str) -> Claim:
    test, noise, bare = row["test"], row["noise_control"], row["mislabel_control"]
    return Claim(
        f"Small adversarial perturbations alone teach a net real classes ({title}).",
        test["low"] > max(noise["high"], bare["high"]),
        f"Trained on {title} a fresh net gets {share(test)} of the original test images; with noise of the same length "
        f"in place of the perturbations {share(noise)}, with the new labels alone {share(bare)}.",
    )


def _second_seed(made: Mapping[str, Any]) -> Claim:
    pairs = [(made[name]["second_seed"], made[name]["noise_control"]) for name in ("d_rand", "d_det")]
    return Claim(
        "The two results above do not hang on one seed.",
        all(again["low"] > noise["high"] for again, noise in pairs),
        f"With a second seed D_rand gives {share(pairs[0][0])} and D_det {share(pairs[1][0])}.",
    )


def _of_represented(result: Mapping[str, Any]) -> list[Claim]:
    half, made = result["eps"] / 2, result["constructed"]
    chance = 1 / result["classes"]
    kept, lost = at(made["d_r"]["robust"], half), at(made["d_nr"]["robust"], half)
    return [
        Claim(
            "Images that carry only robust features make a robust net by standard training (D_R).",
            kept["low"] > lost["high"],
            f"At eps {half:g} a net trained on D_R keeps {share(kept)}, one trained on D_NR {share(lost)}.",
        ),
        Claim(
            "Non-robust features suffice for standard accuracy (D_NR).",
            made["d_nr"]["test"]["low"] > chance,
            f"A net trained on D_NR gets {share(made['d_nr']['test'])} of the original test images, "
            f"one trained on D_R {share(made['d_r']['test'])}; chance is {chance:.0%}.",
        ),
    ]


def at(curve: list[dict[str, Any]], eps: float) -> dict[str, Any]:
    """Return the point of a curve at one eps."""
    return next(point for point in curve if point["eps"] == eps)


def share(found: Mapping[str, Any]) -> str:
    """Return an accuracy with its interval, in per cent."""
    return f"{found['accuracy']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
