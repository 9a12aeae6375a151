"""The real EfficientNet-Lite0 on real photographs, where both were fetched; .ci/run fetches them."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import featlab as fl
from featlab.audit import Limits, Subject, audit
from featlab.fetching import data_root
from featlab.models.published import EFFICIENTNET_LITE0, PUBLISHED, fetched_file, intact, path_of
from featlab.report import audit_page, write

NET, PHOTOS = "efficientnet-lite0", "imagenet-foolbox"


def here(name):
    return path_of(name).is_file() and (data_root() / PHOTOS).is_dir()


needs_net = pytest.mark.skipif(
    not here(NET), reason=f"needs `featlab models get {NET}` and `featlab data get {PHOTOS}`, which were not run here"
)

RIGHT = {"efficientnet-lite0": (18, 19), "resnet50-imagenet": (19, 20)}
"""Of the 20 photographs: how many are named right at once, and how many within five guesses."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_net_knows_what_is_in_the_photographs(name):
    if not here(name):
        pytest.skip(f"needs `featlab models get {name}` and `featlab data get {PHOTOS}`, which were not run here")
    images, labels = fl.load_data(PHOTOS, train=False)
    with torch.no_grad():
        logits = fl.load(f"get:{name}", device="cpu")(images)
    five = logits.topk(5).indices
    found = int((five[:, 0] == labels).sum()), int((five == labels[:, None]).any(dim=1).sum())
    assert found == pytest.approx(RIGHT[name], abs=1)  # Another machine's rounding may turn a close call.


@needs_net
def test_the_fetched_file_is_the_published_net():
    assert intact(EFFICIENTNET_LITE0, fetched_file(NET))
    card = fl.models.card(f"get:{NET}")
    assert card["card"]["weights_sha256"] == EFFICIENTNET_LITE0.sha256
    assert card["normalization"]["mean"] == pytest.approx([127 / 255] * 3)


@needs_net
@pytest.mark.slow
def test_an_audit_goes_through_and_fills_the_page(tmp_path):
    """At 66 pixels, and in the least numbers: the same parts in a tenth of the time."""
    model = fl.load(f"get:{NET}", device="cpu", shape=(3, 66, 66))
    photos = fl.open_data(PHOTOS, train=False)
    images = F.interpolate(photos.tensors()[0], size=(66, 66), mode="bilinear", antialias=True).clamp(0, 1)
    data = replace(photos, pixels=images)
    limits = Limits.of(data.shape, images=8, units=2, seen=1, inversions=2, saliency=2, mistakes=1)
    within = (fl.threat_model("l2:eps=1/2"),)
    subject = Subject(
        model, f"get:{NET}", data, data, ("l2:eps=1/2",), within, limits=limits, suite="quick", batch_size=8
    )
    found = audit(subject, label=NET)
    assert found.features.kinds == ("animals", "things and plants")
    assert (found.features.total, len(found.features.rows)) == (1280, 2)
    assert found.conditions["card"]["licence"] == "Apache-2.0"
    assert "SmoothGrad takes 12 samples" in " ".join(found.saliency.notes)
    assert found.strength.robust.accuracy <= found.strength.before.accuracy
    write(audit_page([found]), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "tell animals from things and plants" in page
    assert found.features.layer == "penultimate"
