"""The whole audit on tiny nets: what it finds, what it keeps, and that it leaves the model as it was."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.audit import Limits, audit, fitted, record
from featlab.audit import run as running
from featlab.audit.explained import mistakes
from featlab.audit.features import LEAST, features
from featlab.audit.findings import Audit
from featlab.audit.layers import blocks
from featlab.engine import engine
from featlab.testing.models import Kept

from audit_cases import SMALL, lights, subject_of, trained


@pytest.fixture(scope="module")
def tiny():
    return trained()


@pytest.fixture(scope="module")
def kept(tiny, tmp_path_factory):
    """An audit in a folder, the parts that were made, and the folder."""
    folder, made = tmp_path_factory.mktemp("audit"), []
    found = audit(subject_of(tiny, specs=("l2:eps=0.5", "linf:eps=0.1")), folder, label="tiny", note=made.append)
    return found, made, folder


def test_every_part_is_found_and_is_plain(kept):
    found, made, folder = kept
    assert [row["part"] for row in made] == list(running.STAGES)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(running.STAGES)
    plain = json.loads(json.dumps(record(found), allow_nan=False))
    assert plain["strength"]["clean"]["accuracy"] == found.strength.clean.accuracy > 0.9
    assert [point.eps for point in found.strength.curve] == [size / 8 for size in range(9)]
    shares = [point.left.accuracy for point in found.strength.curve]
    assert shares == sorted(shares, reverse=True)
    assert len(found.features.rows) == SMALL.units
    assert sum(found.features.counts.values()) == SMALL.units
    assert [each.spec for each in found.features.others] == ["linf:eps=0.1"]
    assert [each.name for each in found.inverted.measures] == ["representation", "psnr"]  # Of 8 x 8 pixels.
    assert found.inverted.n == SMALL.inversions
    assert found.inverted.source.shape == found.inverted.start.shape == found.inverted.found.shape
    assert {row.name for row in found.layers.rows} >= {"penultimate", "logits"}
    if found.flipped.groups:
        assert sum(group.share.value for group in found.flipped.groups) == pytest.approx(1)
    assert found.mistakes.wrong + round(found.strength.clean.accuracy * 24) == found.mistakes.total == 24
    assert found.spectrum.change[0].n <= SMALL.images
    assert sum(part.value for part in found.spectrum.change) == pytest.approx(1)


def test_a_run_goes_on_and_finds_the_same(kept, tiny):
    found, _, folder = kept
    again = []
    known = audit(subject_of(tiny, specs=("l2:eps=0.5", "linf:eps=0.1")), folder, label="tiny", note=again.append)
    assert again == []
    assert record(known) == record(found)
    assert torch.equal(known.saliency.maps["gradient"], found.saliency.maps["gradient"])
    assert torch.equal(known.attacked.changed, found.attacked.changed)


def test_what_was_made_under_other_terms_is_made_anew(kept, tiny, tmp_path):
    _, _, folder = kept
    (tmp_path / "strength.safetensors").write_bytes((folder / "strength.safetensors").read_bytes())
    made = []
    other = subject_of(tiny, specs=("l2:eps=0.5", "linf:eps=0.1"), seed=1)
    digest = running.digest_of(other)
    assert running.load(tmp_path / "strength.safetensors", running.Strength, terms=digest) is None
    shaken = trained()
    with torch.no_grad():
        next(shaken.parameters()).add_(0.01)
    assert running.digest_of(subject_of(shaken)) != running.digest_of(subject_of(tiny))
    assert made == []


def test_a_killed_run_makes_only_what_is_missing(tiny, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def killed(subject, parts):
        raise Killed

    subject = subject_of(tiny)
    with monkeypatch.context() as patched:
        patched.setattr(running, "STAGES", {**running.STAGES, "layers": (running.Layers, killed)})
        with pytest.raises(Killed):
            audit(subject, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    assert "layers.safetensors" not in before
    assert "seen.safetensors" in before
    made = []
    audit(subject, tmp_path, note=made.append)
    assert {f"{row['part']}.safetensors" for row in made} & before == set()
    assert "layers" in {row["part"] for row in made}


def test_the_model_is_left_as_it_was():
    model = trained()
    with Kept(model, training=True):  # Modes, flags, weights, buffers, gradients and hooks, of every module.
        audit(subject_of(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_features_are_those_of_usefulness(tiny):
    subject = subject_of(tiny, engine="auto")
    found = features(subject)
    whole = fl.usefulness(
        subject.extract, subject.some, within=subject.main, units=sorted(row.unit for row in found.rows), batch_size=256
    )
    verdicts = dict(zip(whole.units.tolist(), whole.verdicts(least=LEAST)))
    assert {row.unit: row.verdict for row in found.rows} == verdicts
    best = whole.best_class()[None]
    assert found.rho.value == pytest.approx(float(whole.rho.value.gather(0, best).mean()))
    assert found.gamma.value == pytest.approx(float(whole.gamma.value.gather(0, best).mean()))
    assert whole.gamma.low.gather(0, best).mean() < found.gamma.low < found.gamma.value < found.gamma.high
    assert found.total == 12
    assert len({row.label for row in found.rows}) == 3  # The classes take turns.


class Stubborn(nn.Module):
    """A net that cannot be traced, and computes in float32 alone."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 3)

    def forward(self, images):
        flat = images.flatten(1)
        if float(flat.detach().sum()) > -1e9:
            flat = flat + torch.ones(64)
        return self.inner(flat)


def test_a_quick_copy_that_cannot_run_is_left_and_said(tiny):
    subject = subject_of(trained(net=Stubborn()))
    assert subject.quick[0] == fl.Engine(channels_last=True, capture=True)  # In float32.
    assert "cannot be traced" in subject.quick[1]
    assert subject_of(tiny).quick == (engine("fast"), "")
    exact, quick = (features(subject_of(tiny, engine=name)) for name in ("auto", "fast"))
    assert quick.rho == exact.rho
    assert quick.gamma.value == pytest.approx(exact.gamma.value, rel=0.05)  # Found by ascents in bfloat16.


def conv_only():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def dense_only():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3))


def test_a_net_without_a_head_is_judged_by_its_logits():
    found = audit(subject_of(trained(net=conv_only())))
    assert found.features.layer == "logits"
    assert found.flipped.groups == ()
    assert "no weighted sum" in found.flipped.reason
    assert found.spectrum.overlap is None
    assert all(row.rationalized is None and row.reasons == () for row in found.mistakes.rows)


def test_a_net_without_maps_has_no_grad_cam():
    found = audit(subject_of(trained(net=dense_only())))
    assert "grad-cam" not in found.saliency.maps
    assert "Grad-CAM is left out" in found.saliency.notes[0]
    assert set(found.saliency.table) == {"gradient", "smoothgrad", "integrated gradients", "random", "edges"}


@pytest.mark.parametrize(("classes", "shape"), [(2, (3, 8, 8)), (4, (2, 8, 8))])
def test_colour_few_classes_and_strange_channels(classes, shape):
    found = audit(subject_of(trained(classes=classes, shape=shape), specs=("patch:size=2",)))
    assert isinstance(found, Audit)
    assert found.strength.curve == ()
    assert found.strength.median is None


def test_another_layer_has_the_means_of_its_channels(tiny):
    found = features(subject_of(tiny, layer="0"))
    assert (found.layer, found.total) == ("0", 6)
    with pytest.raises(ValueError, match="no layer 'nothing'"):
        subject_of(tiny, layer="nothing").refuse_broken()


def test_blocks_are_a_few_parts_of_the_net(tiny):
    assert blocks(tiny) == ["0", "2", "5"]
    deep = nn.Sequential(*(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()) for _ in range(9)))
    net = nn.Sequential(deep, nn.Flatten(), nn.Linear(64, 3))
    assert blocks(trained(net=net)) == ["0.0", "0.3", "0.5", "0.8"]


def test_wrong_pairs_are_refused_in_a_sentence(tiny):
    with pytest.raises(ValueError, match=r"takes images of 1 x 8 x 8 and lights has 3 x 8 x 8"):
        fitted(tiny, lights(6, shape=(3, 8, 8)))
    with pytest.raises(ValueError, match="has 3 classes and lights has 4"):
        fitted(tiny, replace(lights(8, classes=4), classes=("p", "q", "r", "s")))
    with pytest.raises(ValueError, match="all 2 images of lights are of one class"):
        fitted(tiny, lights(9).select(torch.tensor([0, 3])))
    broken = trained()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="answers NaN or infinity to 24 of 24 images"):
        audit(subject_of(broken))


def test_data_of_some_of_the_classes_are_relabelled(tiny):
    some = replace(lights(8, classes=2), classes=("c", "a"))
    found = fitted(tiny, some)
    assert found.classes == tiny.classes
    assert found.labels.tolist() == [2, 0] * 4


def grouped(data, names=("left", "right")):
    """The data with their classes in two groups."""
    return replace(data, columns={"group": (data.labels > 0).long()}, facts={"groups": names})


def test_features_tell_groups_apart_where_the_data_name_them(tiny):
    parts = {"test": grouped(lights(24, seed=2)), "train": grouped(lights(30, seed=3))}
    subject = subject_of(tiny, **parts)
    found = features(subject)
    assert (found.kinds, found.grouped, found.middle) == (("left", "right"), True, 4)
    assert {row.label for row in found.rows} <= {0, 1}
    ungrouped = features(subject_of(tiny))
    assert (ungrouped.kinds, ungrouped.grouped) == (("a", "b", "c"), False)
    # rho is that of the groups: E[y f] of the standardised unit over the images that are attacked.
    row = found.rows[0]
    values = subject.extract(subject.some.tensors()[0])[:, row.unit].double()
    side = torch.where(subject.kind(subject.some) == row.label, 1.0, -1.0).double()
    mean = ((values - values.mean()) / values.std(correction=0) * side).mean()
    assert row.rho.value == pytest.approx(abs(float(mean)), abs=1e-6)


def test_classes_without_images_are_no_kinds(tiny):
    wide = fl.Classifier(Padded(tiny.net), mean=0.3, std=0.3, classes=[*"abc", *map(str, range(40))], shape=tiny.shape)
    test, train = (fitted(wide, lights(count, seed=seed)) for count, seed in ((24, 2), (30, 3)))
    subject = subject_of(wide, test=test, train=train, layer="inner.7")
    assert subject.kinds == ("a", "b", "c")
    assert {row.label for row in features(subject).rows} <= {0, 1, 2}


class Padded(nn.Module):
    """A net of more classes than it ever answers."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return nn.functional.pad(self.inner(images), (0, 40), value=-9.0)


def test_one_image_of_each_class_is_enough_to_go_through(tmp_path):
    model = trained(classes=4)
    data = lights(4, classes=4, seed=2)
    found = audit(subject_of(model, test=data, train=data), tmp_path)
    assert found.features.middle == 1
    assert found.features.counts["robust"] == 0  # Nothing can be shown by one image.


def test_an_image_is_no_neighbour_of_its_own(tiny):
    data = replace(lights(24, seed=2), split="all", labels=(lights(24).labels + 1) % 3)  # Every answer is wrong.
    subject = subject_of(tiny, test=data, train=data)
    found = mistakes(subject, features(subject))
    assert len(found.rows) == SMALL.mistakes
    for row in found.rows:
        assert len(row.nearest) == 4
        assert not any(torch.equal(row.image, other) for other in row.nearest)


def test_large_images_have_lower_limits():
    assert Limits.of((1, 28, 28)) == Limits.of((3, 64, 64)) == Limits()
    assert Limits.of((3, 224, 224)) == Limits(images=32, units=8, seen=2, inversions=8, saliency=4, mistakes=3, radii=0)
    assert Limits.of((3, 224, 224), units=5, images=None).units == 5
    with pytest.raises(ValueError, match="units >= 1"):
        Limits.of((3, 224, 224), units=0)
