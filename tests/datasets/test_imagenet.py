"""Photographs out of packages: fabricated ones, no network."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from featlab import fetching
from featlab.datasets import imagenet, sources
from featlab.datasets.dataset import digest
from featlab.datasets.imagenet import decoded, fetch_photographs, grouped, label_of, read_photographs
from featlab.datasets.sources import IMAGENET_PHOTOS, Mirror, get, open_source
from featlab.fetching import Package

from packed import archive


def picture(colour, size=(64, 40)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def test_labels_are_the_last_number_of_a_name():
    assert label_of("foolbox/data/imagenet_00_243.jpg") == 243
    assert label_of("a/data/imagenet/ffffc3c343000000_0637.png") == 637
    for name in ("imagenet.jpg", "x_1000.png", "x_12a.png"):
        with pytest.raises(ValueError, match="number of its class"):
            label_of(name)


def test_the_middle_of_a_picture_is_kept():
    wide = np.zeros((80, 160, 3), dtype=np.uint8)
    wide[5:75, 45:115] = (10, 200, 30)  # The middle 87.5 % of the shorter side.
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG")
    found = decoded(file.getvalue(), "wide.png")
    assert found.shape == (3, 224, 224)
    assert [set(np.unique(channel)) for channel in found] == [{10}, {200}, {30}]
    with pytest.raises(ValueError, match=r"bad.png cannot be decoded"):
        decoded(b"nothing", "bad.png")


def test_pictures_come_in_the_order_of_their_names(tmp_path):
    path = archive(tmp_path / "a.whl", {"p/b_7.png": picture("red"), "p/a_999.png": picture("blue"), "p/c.txt": b""})
    images, labels = read_photographs(path, "p/*.png")
    assert labels.tolist() == [999, 7]
    assert images[0, :, 0, 0].tolist() == [0, 0, 255]
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_each_part_has_its_package_and_is_verified(tmp_path, monkeypatch):
    files = {
        "one": archive(tmp_path / "one.whl", {"foolbox/data/imagenet_00_243.jpg": picture("green")}),
        "two": archive(tmp_path / "two.tar.gz", {"two-1/data/imagenet/ff_0637.png": picture("red")}),
    }
    packages = {
        split: Package("pip", name, "1", hashlib.sha256(files[name].read_bytes()).hexdigest())
        for split, name in (("test", "one"), ("train", "two"))
    }
    monkeypatch.setattr(imagenet, "PATTERNS", {"one": "foolbox/data/imagenet_*.jpg", "two": "*/data/imagenet/*.png"})

    def run(*command, folder):
        name = (folder / command[-1]).read_text().partition("==")[0]
        (folder / files[name].name).write_bytes(files[name].read_bytes())

    monkeypatch.setattr(fetching, "run", run)
    (tmp_path / "scratch").mkdir()
    arrays = fetch_photographs(tmp_path / "scratch", packages=packages)
    found = {split: digest(*(torch.from_numpy(each) for each in part)) for split, part in arrays.items()}
    mirror = Mirror("both", lambda scratch: fetch_photographs(scratch, packages=packages))
    source = replace(IMAGENET_PHOTOS, sha256=found, mirrors=(mirror,))
    assert get(source.name, root=tmp_path, sources={source.name: source}).mirror == "both"
    test, train = (grouped(open_source(source, train=train, root=tmp_path)) for train in (False, True))
    assert (test.labels.tolist(), train.labels.tolist()) == ([243], [637])
    assert (test.columns["group"].tolist(), train.columns["group"].tolist()) == ([0], [1])
    assert test.facts["groups"] == ("animals", "things and plants")
    assert (test.shape, len(test.classes), test.split) == ((3, 224, 224), 1000, "test")


def test_a_source_of_one_part_is_the_same_for_training_and_test(tmp_path):
    arrays = {"all": (np.zeros((2, 3, 4, 4), dtype=np.uint8), np.array([1, 2]))}
    found = digest(*(torch.from_numpy(each) for each in arrays["all"]))
    source = replace(sources.IMAGENET_FOOLBOX, sha256={"all": found}, mirrors=(Mirror("m", lambda _: arrays),))
    get(source.name, root=tmp_path, sources={source.name: source})
    parts = [open_source(source, train=train, root=tmp_path) for train in (True, False)]
    assert [(part.split, part.sha256) for part in parts] == [("all", found)] * 2
