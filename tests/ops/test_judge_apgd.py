"""Auto-PGD's bookkeeping: the kernel has the bits of its definition, which is algorithm 1 of the paper."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import featlab as fl
from featlab import ops
from featlab.ops import native, reference
from featlab.ops.schema import DEFINITIONS

from judge_cases import NAMES, call, rows_of
from ops_cases import quick, same_bits

SCORES = st.sampled_from([0.0, 1.0, 1.0 + 2.0**-23, 2.0, -1.0, math.inf, -math.inf, math.nan])
RECORD = st.fixed_dictionaries(
    {
        "scores": SCORES,
        "number": st.integers(0, 6),
        "score": SCORES,
        "best_score": SCORES,
        "checked_score": SCORES,
        "rises": st.integers(0, 4).map(float),
        "factor": st.sampled_from([1.0, 0.5, 2.0**-30]),
        "halved": st.booleans(),
        "windows": st.lists(st.sampled_from([0.0, 0.0, 2.0, 3.0]), min_size=5, max_size=5),
    }
)


@quick
@given(st.lists(RECORD, min_size=1, max_size=9))
def test_the_kernel_has_the_bits_of_the_definition(drawn):
    here, there = rows_of(drawn), rows_of(drawn)
    call(ops.apgd_judge, here)
    DEFINITIONS["apgd_judge"][1](*there.values())
    for name in NAMES:
        if here[name].dtype == torch.float64:
            assert same_bits(here[name].nan_to_num(7.25), there[name].nan_to_num(7.25)), name
        else:
            assert torch.equal(here[name], there[name]), name


def test_a_run_of_scores_is_judged_as_the_paper_says(way):
    """One example, windows of 2 steps: the score stalls in the second, and the best is no better in the fourth."""
    scores = [1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 5.0, 5.0]
    state = fl.APGD().begin(torch.zeros(1, 2), steps=8, key=fl.Key(seed=0, examples=torch.arange(1)))
    state["windows"] = torch.tensor([[0, 0, 2, 0, 2, 0, 2, 0, 2]], dtype=torch.float64)
    record = {name: state[name] for name in NAMES if name in state}
    told = [
        tuple(
            each.item()
            for each in ops.apgd_judge(torch.tensor([score]), windows=state["windows"], rho=0.75, alpha=0.75, **record)
        )
        for score in scores
    ]
    assert [improved for improved, _, _ in told] == [True, True, True, False, False, True, True, False, False]
    assert [back for _, back, _ in told] == [False, False, False, False, True, False, False, False, True]
    assert [share for _, _, share in told] == [1.0] + [0.75] * 8
    assert record["factor"].tolist() == [0.25]
    assert record["number"].tolist() == [9]


def test_scores_of_any_type_are_judged_in_float64(way):
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        given = rows_of([dict.fromkeys(("score", "best_score", "checked_score"), 1.0)] * 3)
        given["scores"] = torch.tensor([0.5, 1.0, 1.5], dtype=dtype)
        given["number"].fill_(1)
        improved, _, _ = call(ops.apgd_judge, given)
        assert improved.tolist() == [False, False, True]
        assert given["best_score"].tolist() == [1.0, 1.0, 1.5]


def test_misfits_are_refused():
    given = rows_of([{}] * 3)
    wrongs = {"number": torch.zeros(3), "rises": torch.zeros(2).double(), "windows": torch.zeros(3, 2)}
    for name, wrong in wrongs.items():
        with pytest.raises(ValueError, match="one entry"):
            call(ops.apgd_judge, {**given, name: wrong})
    if not native.LIBRARIES["cpu"].loaded:
        return
    for name, wrong in {"back": torch.zeros(3), "score": torch.zeros(3), "share": torch.zeros(2).double()}.items():
        with pytest.raises(RuntimeError, match="apgd_judge"):
            torch.ops.featlab.apgd_judge(*{**given, name: wrong}.values())


@pytest.mark.parametrize("rows", [0, 3])
def test_opcheck(rows):
    torch.library.opcheck(torch.ops.featlab.apgd_judge.default, tuple(rows_of([{}] * rows).values()))


def test_the_definition_names_its_arguments_in_the_order_of_the_schema():
    assert list(rows_of([{}])) == list(reference.judge._Call._fields)
