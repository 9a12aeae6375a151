"""The embedded subset: what it claims is in the files, and follows from the full set."""

import shutil

import pytest
import torch

from featlab.datasets import fashion_mini, make_embedded
from featlab.datasets.dataset import Dataset
from featlab.datasets.fashion_mini import COUNTS, choose, embedded, open_fashion_mini, read_part
from featlab.datasets.sources import open_fashion_mnist

PARTS = [(True, "train", 60_000), (False, "test", 10_000)]


@pytest.mark.parametrize(("train", "split", "full_count"), PARTS)
def test_counts_balance_and_indices(train, split, full_count):
    data = open_fashion_mini(train=train)
    index = data.columns["source_index"]
    assert data.pixels.shape == (COUNTS[split], 1, 28, 28)
    assert data.pixels.dtype == torch.uint8
    assert data.labels.bincount().tolist() == [COUNTS[split] // 10] * 10
    assert (index.diff() > 0).all()
    assert index[0] >= 0
    assert index[-1] < full_count
    assert (data.split, len(data.classes)) == (split, 10)


def test_no_test_image_is_a_training_image():
    train, test = (open_fashion_mini(train=train).pixels.flatten(1) for train in (True, False))
    seen = {row.numpy().tobytes() for row in train}
    assert not any(row.numpy().tobytes() in seen for row in test)


def test_images_belong_to_their_labels():
    """A class's mean image of the test part is nearest to the same class's mean image of the training part."""
    train, test = (open_fashion_mini(train=train) for train in (True, False))
    means = [
        torch.stack([data.pixels[data.labels == label].float().mean(0).flatten() for label in range(10)])
        for data in (train, test)
    ]
    assert torch.equal(torch.cdist(means[1], means[0]).argmin(1), torch.arange(10))


def test_files_are_small_and_the_licence_is_beside_them():
    files = list(embedded().iterdir())
    assert sum(file.stat().st_size for file in files) < 6e6
    assert max(file.stat().st_size for file in files) < 4e6
    licence = (embedded() / "LICENSE").read_text(encoding="utf-8")
    assert "MIT" in licence
    assert "2017 Zalando SE" in licence


def test_damaged_pictures_are_noticed(tmp_path, monkeypatch):
    shutil.copytree(embedded(), tmp_path / "embedded")
    monkeypatch.setattr(fashion_mini, "embedded", lambda: tmp_path / "embedded")
    assert len(open_fashion_mini(train=False)) == 2000
    first, second = (tmp_path / "embedded" / f"fashion-mini-train-{number}.png" for number in (0, 1))
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match="damaged; install featlab again"):
        open_fashion_mini(train=True)


@pytest.fixture
def small_full_set(monkeypatch):
    """Two parts like those of Fashion-MNIST, of which a small subset is embedded."""
    monkeypatch.setattr(fashion_mini, "COUNTS", {"train": 300, "test": 100})
    monkeypatch.setattr(fashion_mini, "ROWS_PER_PICTURE", 200)
    generator = torch.Generator().manual_seed(1)
    return {
        split: Dataset(
            pixels=torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8),
            labels=torch.randint(0, 10, (count,), generator=generator),
            classes=fashion_mini.CLASSES,
            name="full",
            split=split,
        )
        for split, count in (("train", 700), ("test", 400))
    }


def test_what_is_made_is_what_is_read(small_full_set, tmp_path, monkeypatch):
    got = []
    monkeypatch.setattr(make_embedded, "get", got.append)
    monkeypatch.setattr(
        make_embedded, "open_fashion_mnist", lambda *, train: small_full_set["train" if train else "test"]
    )
    assert make_embedded.main([str(tmp_path / "made")]) == 0
    assert got == ["fashion-mnist"]
    monkeypatch.setattr(fashion_mini, "embedded", lambda: tmp_path / "made")
    for split, full in small_full_set.items():
        data = open_fashion_mini(train=split == "train")
        assert data.sha256 == choose(full).sha256
        assert torch.equal(full.pixels[data.columns["source_index"]], data.pixels)
    assert len(list((tmp_path / "made").glob("*.png"))) == 3


def test_making_needs_a_folder(capsys):
    assert make_embedded.main([]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(("train", "split", "full_count"), PARTS)
def test_the_subset_follows_from_the_full_set(train, split, full_count):
    try:
        full = open_fashion_mnist(train=train)
    except FileNotFoundError:
        pytest.skip("needs the full set: featlab data get fashion-mnist")
    assert len(full) == full_count
    assert choose(full).sha256 == read_part(embedded(), split).sha256
