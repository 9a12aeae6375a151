"""The data set value: what rows, subsets and checksums must be."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featlab.datasets.dataset import Dataset
from featlab.datasets.ranks import balanced_rows, random_ranks


def small(count=20, classes=4, **options):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 5, 4), generator=generator, dtype=torch.uint8)
    names = tuple(f"class {label}" for label in range(classes))
    return Dataset(pixels=pixels, labels=torch.arange(count) % classes, classes=names, name="small", **options)


def test_every_byte_becomes_its_255th_in_float32():
    data = Dataset(
        pixels=torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16),
        labels=torch.tensor([0]),
        classes=("a",),
        name="bytes",
    )
    exact = (np.arange(256, dtype=np.float64) / 255).astype(np.float32)
    assert np.array_equal(data.images(torch.tensor([0])).numpy().ravel(), exact)


def test_images_are_rows_in_the_order_asked_for_and_do_not_alias_the_store():
    data = small()
    index = torch.tensor([3, 0, 3])
    images = data.images(index)
    assert torch.equal(images, data.pixels[index].float() / 255)
    before = data.sha256
    images.zero_()
    assert small().sha256 == before == hashlib_digest(data)


def test_float_images_are_copied_too():
    pixels = torch.rand(3, 1, 2, 2)
    data = Dataset(pixels=pixels, labels=torch.zeros(3, dtype=torch.int64), classes=("a",), name="floats")
    kept = pixels.clone()
    data.images(torch.arange(3)).zero_()
    assert torch.equal(pixels, kept)


def hashlib_digest(data):
    pixels, labels = data.pixels.numpy(), data.labels.numpy()
    text = f"torch.uint8 {pixels.shape}\n".encode() + pixels.tobytes()
    return hashlib.sha256(text + f"torch.int64 {labels.shape}\n".encode() + labels.tobytes()).hexdigest()


def test_sha256_is_that_of_the_arrays_and_sees_one_changed_bit_and_one_changed_label():
    data = small(count=3000)
    assert data.sha256 == hashlib_digest(data)
    other = data.pixels.clone()
    other[-1, -1, -1, -1] ^= 1
    labels = data.labels.clone()
    labels[-1] = (labels[-1] + 1) % 4
    changed = [
        Dataset(pixels=other, labels=data.labels, classes=data.classes, name="x"),
        Dataset(pixels=data.pixels, labels=labels, classes=data.classes, name="x"),
    ]
    assert len({data.sha256, *(item.sha256 for item in changed)}) == 3


def test_batches_cover_all_rows_once_in_order():
    data = small(count=10)
    batches = list(data.batches(4))
    assert [len(labels) for _, labels, _ in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([index for _, _, index in batches]), torch.arange(10))
    assert torch.equal(torch.cat([images for images, _, _ in batches]), data.tensors()[0])
    with pytest.raises(ValueError, match="at least 1 row"):
        next(data.batches(0))


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(-(2**70), 2**70),
)
def test_balanced_rows_are_as_even_as_the_data_allow(labels, share, seed):
    labels = np.array(labels)
    count = int(share * len(labels))
    rows = balanced_rows(labels, count=count, seed=seed)
    assert len(set(rows.tolist())) == count
    assert (np.diff(rows) > 0).all()
    taken, there = np.bincount(labels[rows], minlength=5), np.bincount(labels, minlength=5)
    exhausted = taken == there
    # A class may lag behind another by more than one only if it has no more images.
    assert all(taken[k] >= taken.max(initial=0) - 1 for k in range(5) if not exhausted[k])


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_smaller_subset_is_part_of_a_larger_one(count, seed):
    labels = np.arange(60) % 7
    small_rows, large_rows = (set(balanced_rows(labels, count=n, seed=seed).tolist()) for n in (count, count + 20))
    assert small_rows < large_rows


def test_subsets_depend_on_the_seed_and_refuse_impossible_counts():
    data = small(count=200)
    assert torch.equal(data.subset(40).labels.bincount(), torch.full((4,), 10))
    assert data.subset(40).sha256 == data.subset(40, seed=0).sha256 != data.subset(40, seed=1).sha256
    for count in (-1, 201):
        with pytest.raises(ValueError, match="between 0 and 200"):
            data.subset(count)


def test_random_ranks_are_splitmix64_whatever_the_library_version():
    def mix(value):
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
        return value ^ (value >> 31)

    golden = 0x9E3779B97F4A7C15
    state = mix((7 + golden) % 2**64)
    expected = [mix((state + row * golden) % 2**64) for row in range(1, 6)]
    assert random_ranks(5, seed=7).tolist() == expected


def test_select_keeps_labels_columns_and_facts_together():
    data = small(columns={"source_index": torch.arange(20) * 10}, facts={"recipe": "r"})
    rows = torch.tensor([5, 1])
    twice = data.select(torch.tensor([9, 5, 1])).select(torch.tensor([1, 2]))
    for part in (data.select(rows), twice):
        assert torch.equal(part.images(torch.arange(2)), data.images(rows))
        assert torch.equal(part.columns["source_index"], torch.tensor([50, 10]))
        assert torch.equal(part.labels, torch.tensor([1, 1]))
        assert part.facts == {"recipe": "r"}
        assert part.pixels.shape == (2, 3, 5, 4)


GOOD = torch.zeros(2, 1, 3, 3)
BAD_DATA = [
    (GOOD.double(), torch.tensor([0, 1]), "uint8 or float32"),
    (GOOD[0], torch.tensor([0, 1]), "uint8 or float32"),
    (GOOD + 2, torch.tensor([0, 1]), r"\[0, 1\]"),
    (GOOD - 1e-3, torch.tensor([0, 1]), r"\[0, 1\]"),
    (GOOD * float("nan"), torch.tensor([0, 1]), r"\[0, 1\]"),
    (GOOD, torch.tensor([0, 1, 1]), "one per image"),
    (GOOD, torch.tensor([0.0, 1.0]), "int64"),
    (GOOD, torch.tensor([0, 2]), "between 0 and 1"),
    (GOOD, torch.tensor([-1, 0]), "between 0 and 1"),
]


@pytest.mark.parametrize(("pixels", "labels", "words"), BAD_DATA)
def test_bad_data_are_refused_at_the_door(pixels, labels, words):
    with pytest.raises(ValueError, match=words):
        Dataset(pixels=pixels, labels=labels, classes=("a", "b"), name="bad")


def test_a_column_needs_one_whole_number_per_image():
    with pytest.raises(ValueError, match="column 'c'"):
        small(columns={"c": torch.arange(19)})
