"""The published layout, CIFAR_ims and CIFAR_lab: read and written, and never executed."""

import os

import pytest
import torch

from featlab.datasets.dataset import Dataset
from featlab.datasets.madry import IMAGES, LABELS, export_constructed, import_constructed


def content(count=25):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, 4, 4, generator=generator), torch.arange(count) % 10


def publish(folder, images, labels):
    folder.mkdir(exist_ok=True)
    torch.save(images, folder / IMAGES)
    torch.save(labels, folder / LABELS)
    return folder


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("parts", [1, 3])
def test_published_lists_of_batches_are_read(legacy, parts, tmp_path):
    images, labels = content()
    folder = tmp_path / "release"
    folder.mkdir()
    for name, value in ((IMAGES, images), (LABELS, labels)):
        batches = [part.clone() for part in value.chunk(parts)]
        torch.save(batches, folder / name, _use_new_zipfile_serialization=not legacy)
    data = import_constructed(folder, tmp_path / "set")
    assert torch.equal(data.tensors()[0], images)
    assert torch.equal(data.labels, labels)
    assert data.classes[3] == "cat"
    assert set(data.facts["provenance"]["sha256"]) == {IMAGES, LABELS}


def test_bare_tensors_are_read_too(tmp_path):
    images, labels = content()
    data = import_constructed(publish(tmp_path / "release", images, labels), tmp_path / "set")
    assert torch.equal(data.tensors()[0], images)


def test_there_and_back(tmp_path):
    images, labels = content(2500)
    names = tuple("abcdefghij")
    data = Dataset(pixels=images, labels=labels, classes=names, name="memory")
    paths = export_constructed(data, tmp_path / "out")
    published = torch.cat(torch.load(paths[0], weights_only=True)), torch.cat(torch.load(paths[1], weights_only=True))
    assert torch.equal(published[0], images)
    assert torch.equal(published[1], labels)
    assert os.path.getsize(paths[0]) < 1.1 * images.numel() * 4
    again = import_constructed(tmp_path / "out", tmp_path / "set", classes=names)
    assert again.sha256 == data.sha256


def test_files_that_are_there_are_not_written_over(tmp_path):
    images, labels = content()
    data = Dataset(pixels=images, labels=labels, classes=tuple("abcdefghij"), name="memory")
    tmp_path.joinpath(LABELS).write_text("mine")
    with pytest.raises(ValueError, match="there already"):
        export_constructed(data, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [LABELS]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


BAD_FILES = [
    (lambda i, n: ([Trap()], n), "no torch-saved tensor"),
    (lambda i, n: ({"images": i}, n), "got dict"),
    (lambda i, n: ([], n), "must hold a tensor"),
    (lambda i, n: ([i, i[:, :1]], n), "do not fit together"),
    (lambda i, n: (i * 2, n), r"\[0, 1\]"),
    (lambda i, n: (i.flatten(1), n), "channels, height, width"),
    (lambda i, n: (i, n[:-1]), "one per image"),
    (lambda i, n: (i, n + 1), "between 0 and 9"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD_FILES)
def test_bad_files_are_refused_unexecuted_and_leave_nothing(spoil, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = publish(tmp_path / "release", *spoil(*content()))
    with pytest.raises(ValueError, match=words) as caught:
        import_constructed(folder, tmp_path / "set")
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["release"]


def test_missing_and_cut_off_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=IMAGES):
        import_constructed(tmp_path, tmp_path / "set")
    folder = publish(tmp_path / "release", *content())
    whole = (folder / IMAGES).read_bytes()
    for kept in (0, 10, len(whole) // 2):
        (folder / IMAGES).write_bytes(whole[:kept])
        with pytest.raises(ValueError, match="no torch-saved tensor"):
            import_constructed(folder, tmp_path / "set")
