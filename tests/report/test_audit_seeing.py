"""What an audit's page shows of features and inversions: whichever exist, and words that follow the intervals."""

import re
from dataclasses import replace

import pytest

from featlab.audit import audit
from featlab.audit.differences import differences
from featlab.audit.findings import Nearness
from featlab.audit.storing import load, save
from featlab.intervals import Estimate
from featlab.report import audit_page
from featlab.report.audit import pictures
from featlab.report.page import render

from audit_cases import SMALL, Constant, subject_of, trained


@pytest.fixture(scope="module")
def found():
    return audit(subject_of(trained(), limits=replace(SMALL, images=8, units=2, seen=1)), label="mine")


def words(*audits):
    text = re.sub(r"<[^>]+>", " ", render(audit_page(list(audits))))
    return " ".join(text.split()).replace("\N{NO-BREAK SPACE}", " ")


def sheets(audit):
    return {picture.title: picture for picture in pictures(audit_page([audit]))}


def shown(found):
    seen = found.seen
    return (seen.robust + seen.fragile + seen.others)[0]


def test_both_kinds_are_shown_where_both_exist(found):
    each = shown(found)
    both = replace(found, seen=replace(found.seen, robust=(each,), fragile=(each,), others=()))
    assert {"Most useful robust units", "Most useful non-robust units"} <= sheets(both).keys()
    assert "Most useful of the other units" not in sheets(both)
    assert "None of the measured units" not in words(both)


@pytest.mark.parametrize(("kind", "lacking"), [("robust", "non-robust"), ("fragile", "robust")])
def test_one_kind_alone_is_shown_with_the_most_useful_of_the_others(found, kind, lacking):
    each = shown(found)
    unclear = replace(each, feature=replace(each.feature, verdict="unclear"))
    none = {"robust": (), "fragile": (), "others": (unclear,)}
    one = replace(found, seen=replace(found.seen, **(none | {kind: (each,)})))
    assert f"None of the measured units is {lacking}; instead, here are the most useful" in words(one)
    assert ", unclear, " in sheets(one)["Most useful of the other units"].rows[0][0]
    neither = replace(found, seen=replace(found.seen, **none))
    assert "None of the measured units is robust and none non-robust; instead" in words(neither)
    alone = replace(found, seen=replace(found.seen, **(none | {kind: (each,), "others": ()})))
    assert "so there is none of these to show" in words(alone)


def test_a_row_shows_both_ends_and_every_way_of_making_images(found):
    each = shown(found)
    title, row = next(iter(sheets(found).values())).rows[0]
    assert f"unit {each.feature.unit}" in title
    assert len(row) == len(each.top) + len(each.bottom) + len(each.made) == 4 + 2 + 3
    assert found.seen.made == ("made of pixels", "made of waves", "made of waves, unlike the first")


def test_sources_starts_and_inversions_stand_beneath_each_other(found):
    (one,) = (sheet for title, sheet in sheets(found).items() if title == "Sources and inversions")
    assert [label for label, _ in one.rows] == ["source", "begun at", "inversion"]
    two = audit_page([found, replace(found, label="other")])
    (both,) = (sheet for sheet in pictures(two) if sheet.title == "Sources and inversions")
    assert [label for label, _ in both.rows] == ["source", "begun at", "inversion, mine", "inversion, other"]


def measured(found, *, label, haarpsi, other=(0.1, 0.05, 0.15)):
    rows = (
        Nearness("representation", "low", Estimate(0.1, 0.05, 0.15), Estimate(0.9, 0.8, 1.0)),
        Nearness("haarpsi", "high", Estimate(*haarpsi), Estimate(*other)),
    )
    return replace(found, label=label, inverted=replace(found.inverted, measures=rows))


def test_the_words_on_inversions_follow_the_intervals(found):
    near, far = (
        measured(found, label=label, haarpsi=values)
        for label, values in (("near", (0.4, 0.3, 0.5)), ("far", (0.12, 0.06, 0.18)))
    )
    assert "look clearly more like their sources than other images do, by HaarPSI." in words(near)
    assert "look no more like their sources than other images do" in words(far)
    assert "The inversions of near look clearly more like the sources by HaarPSI, with intervals apart." in words(
        far, near
    )
    same = replace(near, label="same")
    assert "cannot be told from so few images" in words(near, same)
    assert "how near inversions come (HaarPSI)" in words(near, far)


def test_inversions_are_kept_and_come_back(found, tmp_path):
    save(tmp_path / "one", found.inverted, terms="t", seconds=1.0)
    kept, _ = load(tmp_path / "one", type(found.inverted), terms="t")
    assert kept.measures == found.inverted.measures
    assert (kept.found == found.inverted.found).all()
    assert load(tmp_path / "one", type(found.inverted), terms="other") is None


@pytest.mark.filterwarnings("ignore:the gradient of the loss is exactly zero")
def test_a_net_whose_images_no_attack_changes_has_a_page(found):
    still = audit(subject_of(trained(net=Constant()), limits=replace(SMALL, images=8, units=2, seen=1)), label="still")
    assert still.spectrum.pitch.n == 0
    assert still.spectrum.overlap is None  # None of the classes has a direction.
    assert "The attack changed none of the images, so there is no spectrum of its changes" in words(still)
    assert "changes, mine" in render(audit_page([found, still]))
    assert "changes, still" not in render(audit_page([found, still]))
    assert not any("frequency of the changes" in each.name for each in differences(found, still))
    assert any("frequency of the changes" in each.name for each in differences(found, found))
