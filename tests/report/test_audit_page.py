"""The page of an audit: what it says follows from the numbers, for one model and for two."""

import re
from dataclasses import replace

import pytest
import torch

from featlab.audit import audit
from featlab.audit.differences import differences, less
from featlab.audit.findings import Carrier, Flipped, Share
from featlab.evaluation import Accuracy
from featlab.intervals import Estimate, Mean
from featlab.report import audit_page
from featlab.report.audit import pictures
from featlab.report.audit_words import number, ranged, share
from featlab.report.page import Beside, Chart, render

from audit_cases import subject_of, trained


@pytest.fixture(scope="module")
def found():
    return audit(subject_of(trained(), specs=("l2:eps=0.5", "linf:eps=0.1")), label="mine")


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", render(page)).split()).replace("\N{NO-BREAK SPACE}", " ")


def test_one_model(found):
    page = audit_page([found])
    text = words(page)
    assert page.title == "Audit of mine"
    assert "Of 4 units there are" in text
    assert "l2:eps=0.5" in text
    assert "linf:eps=0.1" in text
    assert found.conditions["model_sha256"] in text
    assert found.conditions["test_sha256"] in text
    assert "<p>mine:" not in render(page)  # There is nobody else to be told from.
    assert list(pictures(page))


def test_two_models_share_their_scales(found):
    other = replace(
        found,
        label="other",
        saliency=replace(found.saliency, maps={name: each / 10 for name, each in found.saliency.maps.items()}),
    )
    page = audit_page([found, other])
    text = words(page)
    assert page.sections[0].title == "mine and other compared"
    assert "mine:" in text
    besides = [block for section in page.sections for block in section.blocks if isinstance(block, Beside)]
    assert len(besides) == 2  # The scatters, and gamma over eps.
    for beside in besides:
        ticks = [re.findall(r">(-?[\d.]+)</text>", chart.narrow()) for chart in beside.charts]
        assert ticks[0] == ticks[1]
    captions = [picture.caption for picture in pictures(page) if picture.title.startswith("Maps of the label's logit")]
    assert captions[0] == captions[1]
    assert len(captions) == 3  # The small maps once more, on their own scale.
    assert captions[2] != captions[1]
    lines = [block for section in page.sections for block in section.blocks if isinstance(block, Chart)]
    assert all("other" in chart.wide() for chart in lines)


def test_the_size_at_which_units_are_lost_is_said(found):
    radii = found.features.radii
    assert [row.unit for row in radii.rows] == sorted(row.unit for row in found.features.rows)
    for row in radii.rows:
        assert row.curve[0].eps == 0
        assert row.low is None or row.value is None or row.low <= row.value
    text = words(audit_page([found]))
    assert "lose their use by eps" in text or "keep their use up to eps" in text
    assert "gamma is 0 at eps" in text
    beyond = replace(radii, rows=tuple(replace(row, value=None, low=1.5, high=None) for row in radii.rows))
    text = words(audit_page([replace(found, features=replace(found.features, radii=beyond))]))
    assert "keep their use up to eps" in text
    assert "beyond" in text
    without = words(audit_page([replace(found, features=replace(found.features, radii=None))]))
    assert "gamma is 0 at eps" not in without


def test_audits_of_other_conditions_are_not_compared(found):
    strange = replace(found, conditions={**found.conditions, "suite": "apgd"})
    with pytest.raises(ValueError, match="suite is quick and apgd"):
        audit_page([found, strange])
    with pytest.raises(ValueError, match="one audit or two, got 3"):
        audit_page([found] * 3)


def test_verdicts_in_words_follow_the_intervals(found):
    def said(gamma):
        return words(audit_page([replace(found, features=replace(found.features, gamma=gamma))]))

    assert "turns these features against" in said(Estimate(-0.5, -0.6, -0.1))
    assert "keep telling their classes apart" in said(Estimate(0.5, 0.2, 0.6))
    assert "cannot be said from so few images" in said(Estimate(0.1, -0.1, 0.2))


def test_symptoms_come_with_advice_where_they_were_seen(found):
    assert "None of 9 symptoms" in words(audit_page([found])) or any(s.seen for s in found.sanity.symptoms)
    first = replace(found.sanity.symptoms[0], seen=True, advice="do something about it")
    sick = replace(found, sanity=replace(found.sanity, symptoms=(first, *found.sanity.symptoms[1:])))
    text = words(audit_page([sick]))
    assert f"symptoms that make attacks lie were seen: {first.name}" in text
    assert "Do something about it." in text


def test_flips_say_how_little_is_known(found):
    groups = (Share("robust", 1, Estimate(-0.0001, -0.1, 0.1)), Share("not measured", 9, Estimate(0.9, 0.8, 1.0)))
    flipped = Flipped(12, 5, 10, groups, (Carrier(3, "robust", 0.4),), 2, "")
    text = words(audit_page([replace(found, flipped=flipped)]))
    assert "robust features carried 0.0% (\N{MINUS SIGN}10.0% to 10.0%)" in text
    assert "measure more with --units" in text
    nothing = Flipped(0, 0, 0, (), (), 0, "the attack changed no answer")
    assert "Not split over features: the attack changed no answer." in words(
        audit_page([replace(found, flipped=nothing)])
    )


def test_a_model_without_mistakes(found):
    unknown = Mean(float("nan"), float("nan"), float("nan"), 0)
    perfect = replace(found, mistakes=replace(found.mistakes, wrong=0, rows=(), sure=unknown))
    assert "All 24 test images are answered rightly" in words(audit_page([perfect]))


def test_differences_of_independent_estimates(found):
    """Newcombe's example: 56/70 less 48/80 is 0.2, between 0.0524 and 0.3339."""
    first, second = (Accuracy.of(torch.arange(n) < k) for k, n in ((56, 70), (48, 80)))
    made = less(*(Estimate(each.accuracy, each.low, each.high) for each in (first, second)))
    assert (made.value, made.low, made.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    rows = differences(found, found)
    assert all(row.difference.value == 0 and not row.apart for row in rows)
    assert {"accuracy", "mean robust usefulness gamma"} <= {row.name for row in rows}


def test_numbers_as_they_are_written():
    assert [number(value) for value in (0.0, 0.5, -1.234, 0.0123, -0.00001, float("nan"))] == [
        "0.00",
        "0.50",
        "\N{MINUS SIGN}1.23",
        "0.012",
        "\N{MINUS SIGN}1.0e-05",
        "unknown",
    ]
    assert (
        share(Estimate(-0.0001, -0.5, 0.25)) == "0.0% (\N{MINUS SIGN}50.0%\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}25.0%)"
    )
    assert ranged(Mean(0.5, float("-inf"), float("inf"), 1)) == "0.50"
