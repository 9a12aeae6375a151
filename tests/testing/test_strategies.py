"""What the kit draws: images in [0, 1], layouts that keep values, keys, options that a signature leaves open."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import featlab as fl
from featlab.testing import BATCH, images, keys, layouts, options


def quick(test):
    return settings(max_examples=30, deadline=None, derandomize=True, database=None)(test)


@quick
@given(batch=images((3, 5, 4)))
def test_images_are_in_range(batch):
    assert batch.shape == (BATCH, 3, 5, 4)
    assert batch.dtype in {torch.float32, torch.float64}
    assert ((batch >= 0) & (batch <= 1)).all()


def test_images_are_of_several_kinds():
    seen = []

    @quick
    @given(batch=images((2, 4)))
    def look(batch):
        seen.append(batch)

    look()
    assert any(torch.equal(each, each.round()) for each in seen), "corners"
    assert any((each == 0.5).all() for each in seen), "grey"
    assert any(((each - 0.5).abs() <= 0.25).all() and each.std() > 0 for each in seen), "waves"
    assert {each.dtype for each in seen} == {torch.float32, torch.float64}


@quick
@given(data=st.data(), dimensions=st.integers(1, 5))
def test_layouts_change_no_value(data, dimensions):
    value = torch.rand(tuple(range(2, 2 + dimensions)))
    arranged = data.draw(layouts(dimensions))(value)
    assert torch.equal(arranged, value)
    assert not arranged.is_contiguous()


@quick
@given(key=keys(batch=3))
def test_keys_draw_numbers(key):
    assert len(key.examples) == 3
    drawn = fl.ops.linf_sample(torch.full((3, 4), 0.5), eps=0.1, **vars(key))
    assert drawn.shape == (3, 4)


def make(
    count: int, kind: Literal["a", "b"], size: float | torch.Tensor, *, on: bool = True, way: Literal[1, 2] = 1, low=0.0
):
    return count, kind, size, on, way, low


@quick
@given(chosen=options(make, given={"count": 7}))
def test_options_are_what_the_signature_leaves_open(chosen):
    assert set(chosen) == {"count", "kind", "size", "on", "way"}
    count, kind, size, on, way, _ = make(**chosen)
    assert (count, kind in "ab", 0 < size < 1, on in {True, False}, way in {1, 2}) == (7, True, True, True, True)


def test_an_option_that_cannot_be_guessed_is_asked_for():
    def masked(inside: fl.ThreatModel, mask: torch.Tensor):
        return inside, mask

    with pytest.raises(ValueError, match="option 'inside' has no default"):
        options(masked)
    assert options(masked, given={"inside": 1, "mask": 2}).example is not None


@quick
@given(chosen=options(type(fl.threat_model("l0:count=1"))))
def test_the_options_of_a_threat_model_make_it(chosen):
    within = fl.threat_model("l0", **chosen)
    assert within.per in {"value", "pixel"}
    assert within.radius > 0
