"""Data by name."""

import numpy as np
import pytest
import torch
from PIL import Image

from featlab.datasets import ConstructedWriter, load_data, open_data
from featlab.datasets.sources import SOURCES


def constructed(path):
    writer = ConstructedWriter(path, recipe={}, provenance={}, total=4, shape=(1, 2, 2), classes=("a", "b"))
    writer.write(range(4), torch.full((4, 1, 2, 2), 0.25), torch.tensor([0, 1, 0, 1]))
    writer.finish()
    return path


def test_load_data_gives_float_images_and_balanced_labels():
    images, labels = load_data("fashion-mini", train=False, count=40)
    assert (images.shape, images.dtype) == ((40, 1, 28, 28), torch.float32)
    assert (float(images.min()), float(images.max())) == (0, 1)
    assert labels.bincount().tolist() == [4] * 10
    data = open_data("fashion-mini", train=False, count=40)
    assert torch.equal(data.images(torch.arange(40)), images)


def test_places(tmp_path, monkeypatch):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 4, 4), np.uint8), y=np.array([0, 1]))
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    Image.new("RGB", (9, 7)).save(tmp_path / "pictures" / "a" / "1.png")
    constructed(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    found = {
        name: open_data(name, train=True).pixels.shape
        for name in (
            "npz:d.npz",
            "folder:pictures",
            "folder:pictures?size=5",
            "folder:pictures?channels=1&size=5",
            "constructed:set",
            "set",
            str(tmp_path / "set"),
        )
    }
    assert list(map(tuple, found.values())) == [
        (2, 1, 4, 4),
        (1, 3, 7, 9),
        (1, 3, 5, 5),
        (1, 1, 5, 5),
        (4, 1, 2, 2),
        (4, 1, 2, 2),
        (4, 1, 2, 2),
    ]


def test_a_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    constructed(tmp_path / "fashion-mini")
    monkeypatch.chdir(tmp_path)
    assert len(open_data("fashion-mini", train=False)) == 2000
    assert len(open_data("./fashion-mini", train=False)) == 4


BAD_NAMES = [
    ("fashion-min", "did you mean 'fashion-mini'"),
    ("cifar-10", "did you mean 'cifar10'"),
    ("folders:x", "did you mean 'folder:PATH'"),
    ("folder:PATH", "no folder PATH"),
    ("imagenet", "data must be one of"),
    ("folder:", "needs a path"),
    ("npz:", "needs a path"),
    ("folder:x?sise=3", "did you mean 'size'"),
    ("folder:x?size=big", "whole number"),
    ("npz:none.npz", "no file none.npz"),
    ("constructed:none", "no constructed data set"),
]


@pytest.mark.parametrize(("name", "words"), BAD_NAMES)
def test_bad_names(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        open_data(name, train=True)


def test_sources_are_looked_for_under_root(tmp_path):
    for name in SOURCES:
        with pytest.raises(FileNotFoundError, match=f"featlab data get {name}"):
            open_data(name, train=True, root=tmp_path)
