"""Forms: the options of a signature as fields, with the words that its docstring has for them."""

from __future__ import annotations

import json
from typing import Literal

import pytest
import torch

import featlab as fl
from featlab.forms import Field, fields_of, values_of, words_of
from featlab.plugins import registry


def errand(
    model,
    images: torch.Tensor,
    mask: torch.Tensor,
    *,
    labels: torch.Tensor | None = None,
    how: Literal["soft", "hard"] = "soft",
    share: float,
    limit: float = float("inf"),
    rounds: int | None = None,
    keen: bool = False,
    note: str = "",
    scale: tuple[float, float] = (1.0, 1.2),
    within: fl.ThreatModel | None = None,
    rule: fl.StepRule | None = None,
    steps: int = 20,
):
    """Do an errand. A `share` of it
    is done: `how` says in which way.
    The rest is left, unless `keen`.

    argmax of `rounds`. Whatever else may be said, `rounds`, where given, are gone twice. `rounds` are whole.

    limit: Where it ends.
    """


def test_every_annotation_has_its_kind_and_every_option_its_line():
    assert fields_of(errand) == [
        Field("how", "choice", "soft", "`how` says in which way.", choices=("soft", "hard")),
        Field("share", "number", None, "A `share` of it is done", required=True),
        Field("limit", "number", "inf", "Where it ends."),
        Field("rounds", "integer", None, "`rounds` are whole.", optional=True),
        Field("keen", "flag", False, "The rest is left, unless `keen`."),
        Field("note", "text", "", ""),
        Field("scale", "pair", [1.0, 1.2], ""),
        Field("within", "threat_model", None, "The set in which the images may move.", optional=True),
        Field("steps", "integer", 20, "So many steps."),
    ]
    assert words_of(errand) == {"model": True, "images": True, "labels": False, "mask": True}


def test_fields_are_json_and_their_defaults_are_read_back():
    for field in fields_of(errand):
        again = json.loads(json.dumps(field.record(), allow_nan=False))
        assert again["name"] == field.name
        if not field.required:
            value = values_of(errand, {field.name: again["default"]}, what="errand")[field.name]
            default = errand.__kwdefaults__[field.name]
            assert value == default
            assert type(value) is type(default)


def test_values_are_read_by_their_annotations():
    given = {"share": "8/255", "keen": True, "scale": [0.5, 2], "within": "l2:eps=1/2", "how": "hard", "rounds": "none"}
    read = values_of(errand, given, what="errand")
    assert read.pop("within").radius == 0.5
    assert read == {"share": 8 / 255, "keen": True, "scale": (0.5, 2.0), "how": "hard", "rounds": None}
    with pytest.raises(ValueError, match="keen of errand must be true or false; got '3'"):
        values_of(errand, {"keen": 3}, what="errand")


def test_a_required_option_that_no_text_stands_for_is_named():
    def odd(images, *, rule: fl.StepRule, steps: int = 3):
        """Do."""

    with pytest.raises(ValueError, match="rule of odd can be given in Python only"):
        fields_of(odd)


def test_options_without_annotations_are_those_of_their_defaults():
    def loose(images, *, times=3, name=None, rest):
        """Do."""

    assert [(field.name, field.kind) for field in fields_of(loose)] == [
        ("times", "integer"), ("name", "text"), ("rest", "text"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", registry().names("tasks"))
def test_every_option_of_every_task_has_a_field_with_a_line(name):
    """What a form shows without a word of explanation is a riddle."""
    fields = fields_of(fl.task(name))
    assert fields
    assert [field.name for field in fields if not field.help] == []
