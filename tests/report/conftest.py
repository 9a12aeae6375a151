"""A made-up result in which every number differs, so that a test can tell which of them is shown."""

import copy

import pytest
import torch

from featlab.report import Picture


def share(value):
    return {"accuracy": value, "low": value - 0.0123, "high": value + 0.0234, "n": 2000}


def _made_up():
    values = iter(value / 1000 for value in range(101, 900, 7))

    def curve():
        return [{"eps": eps, **share(next(values))} for eps in (0.5, 1.0, 2.0)]

    def row():
        keys = ("test", "noise_control", "mislabel_control", "shifted", "second_seed", "attack_success")
        return {**{key: share(next(values)) for key in keys}, "mean_norm": float(f"0.{next(values) * 1000:.0f}")}

    schedule = {"epochs": 4, "lr": 0.1, "weight_decay": 5e-4}
    return {
        "data": "made-up data",
        "device": "cpu",
        "seconds": 312.4,
        "peak_rss_bytes": 3 * 2**29,
        "threat_model": "l2",
        "eps": 1.0,
        "recipe": {"suite": "quick", "large_eps": 6.125, "standard": schedule, "robust": {**schedule, "lr": 0.07}},
        "seeds": {"run": 11, "nets": {"standard": 12, "robust": 13}},
        "versions": {"torch": "2.11.0", "featlab": "9.8.7"},
        "standard": {"clean": share(next(values)), "robust": curve()},
        "robust": {"clean": share(next(values)), "robust": curve()},
        "constructed": {
            "d_rand": row(),
            "d_det": row(),
            "d_r": {"test": share(next(values)), "robust": curve()},
            "d_nr": {"test": share(next(values)), "robust": curve()},
        },
        "checks": [
            {"claim": "It is so.", "seen": True, "text": "By 12 points."},
            {"claim": "It is not so.", "seen": False, "text": "By no point."},
            {"claim": "This too.", "seen": True, "text": "Clearly."},
        ],
    }


@pytest.fixture
def result():
    return copy.deepcopy(_made_up())


@pytest.fixture
def picture():
    images = torch.linspace(0, 1, 2 * 28 * 28).reshape(2, 1, 28, 28)
    rows = (("grey", images), ("colour", images.expand(-1, 3, -1, -1) * torch.tensor([1, 0.5, 0.2])[:, None, None]))
    return Picture("A grid", "What it shows.", rows, ("one", "two"), ((), ("first note", "second note")))
