"""Every task of featlab's own, asked as a user would ask of an installed plugin; pictures of one and three channels."""

import inspect

import pytest

import featlab as fl
from featlab import plugins
from featlab.testing.installed import Trying, judge_installed

OPTIONS = {
    "paint": {"unit": "logits:1"},
    "generate": {"grain": "7"},
    "stadv": {"eps": "1"},
    "interpolate": {"points": "2"},
}
SHAPES = {"generate": [(1, 28, 28)]}
IMAGES = {"superres": [(3, 4, 4), (1, 5, 4)]}
NAMES = sorted(
    offer.entry.name
    for offer in plugins.registry().offers
    if offer.kind == "tasks" and offer.provider.distribution == "featlab"
)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_holds_the_kit(name):
    for place, shape in enumerate(SHAPES.get(name, [(3, 8, 8), (1, 10, 8)])):
        images = IMAGES[name][place] if name in IMAGES else None
        exempt = ["solution-improves"] if name == "worst-of" else []  # It never tries the start.
        trying = Trying(options=OPTIONS.get(name, {}), shapes=(shape,), images=images, exempt=exempt)
        for judged in judge_installed(name, trying):
            assert {v.law: v.reason for v in judged.verdicts if v.outcome == "fail"} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_task_says_where_it_is_from(name):
    assert "Source: " in inspect.getdoc(fl.task(name))
