"""Fetching: mirrors in order, verification of decoded arrays, whole or not at all."""

import dataclasses

import numpy as np
import pytest
import torch

from featlab.datasets.dataset import digest
from featlab.datasets.sources import SOURCES, Mirror, Source, get, open_source
from featlab.fetching import data_root


def arrays(seed=0):
    numbers = np.random.default_rng(seed)
    return {
        split: (numbers.integers(0, 256, (count, 1, 3, 3), dtype=np.uint8), numbers.integers(0, 2, count))
        for split, count in (("train", 9), ("test", 4))
    }


def source(*mirrors):
    found = {split: digest(*(torch.from_numpy(array) for array in part)) for split, part in arrays().items()}
    return Source(
        name="tiny",
        description="",
        classes=("a", "b"),
        licence="",
        citation="",
        sha256=found,
        mirrors=tuple(mirrors),
    )


def fails(error):
    def fetch(scratch):
        (scratch / "half").write_text("half a download")
        raise error

    return fetch


def good(scratch):
    (scratch / "package").write_text("the whole download")
    return arrays()


def fetch_tiny(tiny, root, say=None):
    return get("tiny", root=root, say=say, sources={"tiny": tiny})


def test_mirrors_are_tried_in_order_and_each_failure_is_told(tmp_path):
    said = []
    asked = []

    def last(scratch):
        asked.append(scratch)
        return arrays()

    tiny = source(
        Mirror("first", fails(OSError("no\nnetwork"))),
        Mirror("second", lambda scratch: arrays(seed=1)),
        Mirror("third", good),
        Mirror("fourth", last),
    )
    got = fetch_tiny(tiny, tmp_path, said.append)
    assert got.mirror == "third"
    assert got.failures[0] == "first: no network"
    assert "SHA-256" in got.failures[1]
    assert [line for line in said if "trying" in line] == [f"tiny: trying {n}" for n in ("first", "second", "third")]
    assert not asked
    for split, part in arrays().items():
        data = open_source(tiny, train=split == "train", root=tmp_path)
        assert np.array_equal(data.pixels.numpy(), part[0])
        assert np.array_equal(data.labels.numpy(), part[1])
        assert data.split == split


def test_fetched_data_stay_on_disk_as_four_files_and_are_not_fetched_again(tmp_path):
    assert fetch_tiny(source(Mirror("m", good)), tmp_path).mirror == "m"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert len(list((tmp_path / "tiny").iterdir())) == 4
    assert fetch_tiny(source(Mirror("m", fails(AssertionError()))), tmp_path).mirror is None


def test_if_all_mirrors_fail_one_error_lists_the_reasons_and_nothing_is_left(tmp_path):
    tiny = source(Mirror("one", fails(RuntimeError("bad wheel"))), Mirror("two", fails(ValueError("bad file"))))
    with pytest.raises(FileNotFoundError, match=r"one: bad wheel; two: bad file") as caught:
        fetch_tiny(tiny, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_programming_error_in_a_mirror_is_not_swallowed_and_nothing_is_left(tmp_path):
    for error in (AssertionError("bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fetch_tiny(source(Mirror("m", fails(error)), Mirror("n", good)), tmp_path)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["train-images.npy", "train-labels.npy"])
def test_damage_on_disk_is_noticed_and_mended(name, tmp_path):
    tiny = source(Mirror("m", good))
    file = fetch_tiny(tiny, tmp_path).folder / name
    whole = bytearray(file.read_bytes())
    whole[-8] ^= 1
    for damaged in (bytes(whole), file.read_bytes()[:-3], b""):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged .* featlab data get tiny"):
            open_source(tiny, train=True, root=tmp_path)
        assert fetch_tiny(tiny, tmp_path).mirror == "m"
        assert len(open_source(tiny, train=True, root=tmp_path)) == 9


def test_a_failed_mend_keeps_the_old_folder(tmp_path):
    folder = fetch_tiny(source(Mirror("m", good)), tmp_path).folder
    (folder / "test-images.npy").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        fetch_tiny(source(Mirror("m", fails(OSError("gone")))), tmp_path)
    assert len(list(folder.iterdir())) == 4


def test_files_of_somebody_else_are_never_replaced(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").write_text("years")
    with pytest.raises(ValueError, match="something else"):
        fetch_tiny(source(Mirror("m", good)), tmp_path)
    assert (tmp_path / "tiny" / "thesis.tex").read_text() == "years"


def test_data_that_were_never_fetched_say_how_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="featlab data get tiny"):
        open_source(source(), train=True, root=tmp_path)


def test_a_root_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"cannot be made .* another --root"):
        fetch_tiny(source(Mirror("m", good)), tmp_path / "file")


def test_unknown_names_get_a_near_match():
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        get("cifar-10")


def test_where_data_live(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATLAB_DATA", str(tmp_path / "a"))
    assert data_root() == tmp_path / "a"
    assert data_root(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("FEATLAB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "featlab"


def test_sources_are_fully_described():
    for name, item in SOURCES.items():
        assert name == item.name
        assert len(item.classes) in (10, 1000)
        assert set(item.sha256) in ({"train", "test"}, {"all"})
        assert all(len(each) == 64 for each in item.sha256.values())
        assert item.mirrors
        assert all(getattr(item, field.name) for field in dataclasses.fields(item))
