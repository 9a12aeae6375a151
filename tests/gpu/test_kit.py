"""Threat models hold the conformance kit on a CUDA device, and give there what they give on the CPU."""

import pytest
import torch

import featlab as fl
from featlab.testing import check_threat_model, judge_threat_model

pytestmark = pytest.mark.gpu

SPECS = [
    "linf:eps=8/255",
    "l2:eps=1/2",
    "l2:eps=1/2,exact=yes",
    "l1:eps=2",
    "l0:count=5,per=pixel",
    "box",
    "hsb",
    "recolor:eps=0.1",
    "frequency:eps=1",
    "jpeg:eps=2",
    "blur:sigma=1",
    "fog:eps=0.3",
    "snow:eps=0.3",
    "patch:size=3",
    "rigid",
    "flow:eps=1",
    "elastic:eps=2",
    "wasserstein:eps=0.1",
    "fourier",
    "decorrelated",
    "union:of=linf:eps=8/255+l2:eps=1/2",
    "sequential:of=rigid+linf:eps=8/255",
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_kit_holds_on_the_device(spec: str, device: torch.device) -> None:
    check_threat_model(lambda: fl.threat_model(spec), shape=(3, 8, 8), device=str(device), tolerance=1e-5, examples=5)


@pytest.mark.parametrize("spec", SPECS)
def test_the_device_gives_the_answers_of_the_cpu(spec: str, device: torch.device) -> None:
    verdicts = judge_threat_model(lambda: fl.threat_model(spec), shape=(3, 8, 8), examples=2)
    assert {each.law: each.outcome for each in verdicts}["devices"] == "pass", verdicts
