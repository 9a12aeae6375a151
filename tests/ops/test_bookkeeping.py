"""Fingerprints and kept rows: the kernels give the bits of their definitions, which tell states apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featlab import ops
from featlab.ops import reference

from ops_cases import quick, same_bits


def splitmix(words):
    """Return sum_i mix(bits_i + (i + 1) golden) in Python's whole numbers."""
    total, word = 0, (1 << 64) - 1
    for place, bits in enumerate(words, 1):
        z = (bits + place * 0x9E3779B97F4A7C15) & word
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        total += z ^ (z >> 31)
    return (total + (1 << 63)) % (1 << 64) - (1 << 63)


@quick
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_a_fingerprint_is_its_formula(words):
    row = torch.tensor(words, dtype=torch.int64).to(torch.uint32).view(torch.float32)[None]
    assert ops.fingerprint(row).tolist() == [splitmix(words)]
    wide = torch.tensor(words, dtype=torch.int64).view(torch.float64)[None]
    assert ops.fingerprint(wide).tolist() == [splitmix(words)]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (5,), (3, 17), (4, 3, 5, 7), (2, 33_001)])
def test_the_kernel_has_the_bits_of_the_definition(way, shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    wanted = torch.empty(shape[0], dtype=torch.int64)
    if values.numel():
        reference.fingerprint(values, wanted)
    else:
        wanted.zero_()
    assert torch.equal(ops.fingerprint(values), wanted)


def test_places_and_single_bits_count(way):
    values = torch.rand(1, 64)
    prints = {int(ops.fingerprint(values))}
    for place in range(64):
        other = values.clone()
        other.view(torch.int32)[0, place] ^= 1
        prints.add(int(ops.fingerprint(other)))
    prints.add(int(ops.fingerprint(values.flip(1))))
    assert len(prints) == 66


def test_fingerprints_depend_neither_on_the_batch_nor_on_the_threads(way):
    values = torch.rand(9, 5000)
    whole, threads = ops.fingerprint(values), torch.get_num_threads()
    assert torch.equal(torch.cat([ops.fingerprint(values[:4]), ops.fingerprint(values[4:])]), whole)
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert torch.equal(ops.fingerprint(values), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("last", [False, True])
def test_better_rows_are_written_where_they_belong(way, dtype, last):
    order = torch.channels_last if last else torch.contiguous_format
    best = torch.rand(6, 3, 4, 5, dtype=dtype).to(memory_format=order)
    values = torch.rand(4, 3, 4, 5, dtype=dtype).to(memory_format=order)
    take, index = torch.tensor([True, False, True, True]), torch.tensor([5, 0, 2, 3])
    wanted = best.clone()
    wanted[[5, 2, 3]] = values[[0, 2, 3]]
    ops.keep_better(values, take, index=index, best=best)
    assert same_bits(best, wanted)


def test_rows_of_another_memory_format_are_written_too(way):
    best = torch.rand(3, 2, 4, 5)
    values = torch.rand(3, 2, 4, 5).to(memory_format=torch.channels_last)
    ops.keep_better(values, torch.ones(3, dtype=torch.bool), index=torch.arange(3), best=best)
    assert torch.equal(best, values)


def test_misfits_are_refused():
    best, all_rows = torch.rand(3, 4), torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="must be like rows of best"):
        ops.keep_better(torch.rand(2, 5), all_rows, index=torch.arange(2), best=best)
    with pytest.raises(ValueError, match="one entry per row"):
        ops.keep_better(torch.rand(2, 4), all_rows[:1], index=torch.arange(2), best=best)


@pytest.mark.parametrize("rows", [0, 3])
def test_opcheck(rows):
    values, take = torch.rand(rows, 4), torch.ones(rows, dtype=torch.bool)
    torch.library.opcheck(torch.ops.featlab.fingerprint.default, (values, torch.empty(rows, dtype=torch.int64)))
    torch.library.opcheck(torch.ops.featlab.keep_better.default, (values, take, torch.arange(rows), torch.rand(5, 4)))
