"""The page and the tables of a comparison of sets: every number is shown, claims are read from the intervals."""

import copy
import html
import io

import pytest
from rich.console import Console

from featlab.report import comparison_page, comparison_table, render
from featlab.report.comparison import findings


def share(value):
    return {"accuracy": value, "low": value - 0.0213, "high": value + 0.0234, "n": 1000}


def mean(value):
    return {"value": value, "low": value - 0.0011, "high": value + 0.0012, "n": 500}


def net(name, within, clean, linf, l2, union, looks):
    keys = ("image", "other_image", "classes", "other_classes")
    training = {"threat_model": within, "data": "made-up", "images": 6789, "epochs": 6, "passes": 30, "seconds": 47.5}
    return {
        "model": name,
        "clean": share(clean),
        "robust": {"linf:eps=0.1": share(linf), "l2:eps=1.5": share(l2)},
        "union": share(union),
        "alignment": {key: mean(value) for key, value in zip(keys, looks)},
        "training": training,
    }


MADE_UP = {
    "data": "made-up data",
    "suite": "quick",
    "engine": "auto",
    "batch_size": 77,
    "seed": 5,
    "models": [
        net("plain", "none", 0.911, 0.051, 0.152, 0.043, (0.101, 0.092, 0.143, 0.004)),
        net("max", "linf:eps=0.1", 0.842, 0.613, 0.394, 0.375, (0.216, 0.107, 0.258, 0.009)),
        net("round", "l2:eps=1.5", 0.873, 0.324, 0.505, 0.306, (0.227, 0.118, 0.102, 0.010)),
    ],
}


@pytest.fixture
def result():
    return copy.deepcopy(MADE_UP)


def claims(result):
    return {each.claim: each.seen for each in findings(result)}


def test_claims_follow_from_the_intervals(result):
    found = claims(result)
    assert found["In linf:eps=0.1, max holds better than every net that was trained otherwise."]
    assert found["In l2:eps=1.5, round holds better than every net that was trained otherwise."]
    assert found["Training in one set gives robustness in all of them at once."]
    assert found["Robustness costs clean accuracy."]
    assert found["Gradients of max lie closer to the difference of the classes' means than those of the standard net."]
    assert not found[
        "Gradients of round lie closer to the difference of the classes' means than those of the standard net."
    ]
    result["models"][2]["robust"]["l2:eps=1.5"] = share(0.41)
    assert not claims(result)["In l2:eps=1.5, round holds better than every net that was trained otherwise."]


def test_without_a_standard_net_nothing_is_compared_with_it(result):
    del result["models"][0]
    assert set(claims(result)) == {
        "In linf:eps=0.1, max holds better than every net that was trained otherwise.",
        "In l2:eps=1.5, round holds better than every net that was trained otherwise.",
    }


def test_models_without_a_card_are_shown_as_such(result):
    for row in result["models"]:
        row["training"] = dict.fromkeys(row["training"])
    assert findings(result) == []
    page = render(comparison_page(result))
    assert "not recorded" in page
    assert "What was seen" not in page


def test_every_number_is_on_the_page(result):
    page = html.unescape(render(comparison_page(result)))
    for row in result["models"]:
        for found in (row["clean"], *row["robust"].values(), row["union"]):
            assert f"{found['accuracy']:.1%} ({found['low']:.1%}" in page
        for found in row["alignment"].values():
            assert f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})" in page
        assert row["model"] in page
    for fact in ("made-up data", "quick", "6\N{NARROW NO-BREAK SPACE}789", "47.5 s", "30"):
        assert fact in page


def test_one_set_has_no_union(result):
    for row in result["models"]:
        del row["robust"]["l2:eps=1.5"]
    page = render(comparison_page(result))
    assert "all sets" not in page
    assert "Training in one set" not in page


def test_the_tables_fit_a_terminal(result):
    out = io.StringIO()
    Console(file=out, width=80).print(comparison_table(result))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for row in result["models"]:
        for found in (row["clean"], *row["robust"].values(), row["union"]):
            assert f"{found['accuracy']:.1%}" in text
            assert f"{100 * found['low']:.1f}-{100 * found['high']:.1f}" in text
        assert f"{row['alignment']['image']['value']:.3f}" in text
    assert "not seen" in text


def test_a_model_without_gradients_is_said(result):
    result["models"][0]["alignment"]["image"] = {"value": None, "low": None, "high": None, "n": 0}
    assert "no gradient" in render(comparison_page(result))
    assert not any("closer to the image" in claim for claim in claims(result))
