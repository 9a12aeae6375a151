"""The emulation tells right kernels from wrong ones."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import emulator
from emulator import EmulationError, Emulator
from ops_cases import same_bits

FAULTS = ["", "kMissingBarrier", "kDivergentBarrier", "kEarlyEnd", "kTwoBarriers", "kAbsentLane", "kMask"]
CLUSTER = ["kRight", "kNoStart", "kNoEnd", "kNoBarrier", "kTooLarge"]


@pytest.fixture(scope="session")
def faulty(built: Callable[[str, Path], Path]) -> Emulator:
    return emulator.load(built("faults", Path(__file__).parent / "faults"))


@pytest.fixture(params=[0, 1, 20], ids=["by thread", "backwards", "shuffled"])
def device(faulty: Emulator, request: pytest.FixtureRequest) -> Iterator[Emulator]:
    faulty.set(order=request.param)
    yield faulty
    faulty.set()


def run(device: Emulator, name: str, given: Tensor, written: int, fault: int = 0, count: int | None = None) -> Tensor:
    result = torch.full((written,), math.nan)
    count = given.numel() if count is None else count
    device.launch(name, device.struct("Numbers", count=count, to=result, fault=fault, **{"from": given}))
    return result


NUMBERS = torch.arange(192, dtype=torch.float32)


def test_right_kernels_give_right_results_in_every_order(device: Emulator) -> None:
    assert torch.equal(run(device, "reverse", NUMBERS, 192), NUMBERS.reshape(3, 64).flip(1).flatten())
    sums = NUMBERS.reshape(6, 32).sum(1)
    assert torch.equal(run(device, "warp_sums", NUMBERS, 192), sums.repeat_interleave(32))
    assert torch.equal(run(device, "cluster_sum", NUMBERS[:128], 4), NUMBERS[:128].sum().expand(4))
    votes = run(device, "votes", torch.where(NUMBERS[:64] < 40, -1.0, 1.0), 5)
    assert torch.equal(votes, torch.tensor([24.0, 24.0, 0.0, 1.0, 32.0]))


def test_a_missing_barrier_shows_whatever_the_order(device: Emulator) -> None:
    missing = FAULTS.index("kMissingBarrier")
    result = run(device, "reverse", NUMBERS, 192, missing)
    assert result.isnan().any(), "what no thread has written yet is NaN"


@pytest.mark.parametrize(
    ("name", "fault", "words"),
    [
        ("reverse", "kDivergentBarrier", "48 have ended; 16 wait at a block barrier (faults.cu:"),
        ("reverse", "kEarlyEnd", "1 have ended; 63 wait at a block barrier (faults.cu:"),
        ("reverse", "kTwoBarriers", "different barriers: faults.cu:"),
        ("warp_sums", "kAbsentLane", "reads from lane 31, which takes no part (faults.cu:"),
        ("warp_sums", "kMask", "whose mask leaves it out (faults.cu:"),
    ],
)
def test_threads_that_do_not_meet_are_an_error_and_no_hang(device: Emulator, name: str, fault: str, words: str) -> None:
    with pytest.raises(EmulationError) as caught:
        run(device, name, NUMBERS, 192, FAULTS.index(fault))
    assert words in str(caught.value)
    assert torch.equal(run(device, "reverse", NUMBERS, 192), NUMBERS.reshape(3, 64).flip(1).flatten())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("kNoStart", "before a cluster barrier says that the block has started"),
        ("kNoEnd", "a block may end while another block of its cluster uses its shared memory"),
        ("kNoBarrier", "a block may end while another block of its cluster uses its shared memory"),
        ("kTooLarge", "a cluster of 32 blocks"),
    ],
)
def test_clusters_keep_the_rules_of_distributed_shared_memory(device: Emulator, fault: str, words: str) -> None:
    with pytest.raises(EmulationError, match=words):
        run(device, "cluster_sum", NUMBERS[:128], 4, CLUSTER.index(fault))


def test_a_device_without_clusters_refuses_them(device: Emulator) -> None:
    device.set(capability=80)
    with pytest.raises(EmulationError, match="does not fit the device"):
        run(device, "cluster_sum", NUMBERS[:128], 4)


def test_addresses_must_be_aligned_and_indices_in_bounds(device: Emulator) -> None:
    assert torch.equal(run(device, "packs", NUMBERS, 192), NUMBERS)
    with pytest.raises(EmulationError, match=r"misaligned at faults\.cu:"):
        run(device, "packs", NUMBERS[1:5], 4)
    assert torch.equal(run(device, "beyond", NUMBERS[:64], 64), NUMBERS[:64])
    with pytest.raises(EmulationError, match=r"out of bounds at faults\.cu:"):
        run(device, "beyond", NUMBERS[:64], 64, 1)


def test_a_launch_keeps_the_limits_of_a_device(device: Emulator) -> None:
    assert float(run(device, "demanding", NUMBERS[5:], 1, 48 << 10, count=1024)) == 5.0
    for count, room, words in [(1025, 4, "1 to 1024 threads"), (0, 4, "threads"), (1, 49 << 10, "dynamic shared")]:
        with pytest.raises(EmulationError, match=words):
            run(device, "demanding", NUMBERS, 1, room, count=count)


def test_directed_rounding_is_exact(faulty: Emulator) -> None:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(500, 2, generator=generator) * 2.0 ** torch.randint(-60, 60, (500, 2), generator=generator)
    numbers[0], numbers[1], numbers[2] = torch.tensor([1.0, -1.0]), torch.tensor([3e38, 3e38]), torch.tensor([2.0, 3.0])
    numbers[:, 0] = numbers[:, 0].abs()
    down, up, zero, nearest = (
        run(faulty, "rounded", numbers.flatten(), 500 * 32, count=500).reshape(500, 4, 8).unbind(1)
    )
    a, b = numbers.double().unbind(1)
    product = (a * b).float()
    assert same_bits(nearest[:, :5], torch.stack(_nearest(*numbers.unbind(1)), dim=1))
    assert same_bits(nearest[:, 7], product)
    assert (down <= nearest).all()
    assert (nearest <= up).all()
    assert same_bits(zero[:, 2], torch.where(product > 0, down[:, 2], up[:, 2]))
    exact = a * b  # of two floats: a double holds it
    assert (down[:, 2].double() <= exact).all()
    assert (up[:, 2].double() >= exact).all()
    gap = torch.nextafter(down[:, 2], torch.tensor(math.inf)) == up[:, 2]
    assert (gap == (product.double() != exact)).all()
    assert down[0, 0].signbit()
    assert not up[0, 0].signbit()
    assert math.isinf(up[1, 0])
    assert math.isfinite(down[1, 0])
    assert float(down[2, 3]) < 2 / 3 < float(up[2, 3])
    assert float(down[2, 4]) < math.sqrt(2) < float(up[2, 4])


def _nearest(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    return a + b, a - b, a * b, a / b, a.double().sqrt().float()  # of floats, PyTorch's own root may be an ulp off


def test_sixteen_bit_types_convert_as_in_pytorch(faulty: Emulator) -> None:
    generator = torch.Generator().manual_seed(2)
    given = torch.randn(65536, generator=generator) * 2.0 ** torch.randint(-140, 120, (65536,), generator=generator)
    given[::2] = torch.randn(32768, generator=generator) * 2.0 ** torch.randint(-28, 18, (32768,), generator=generator)
    ties = torch.arange(32768, dtype=torch.int32).mul(2).add(1).to(torch.int16).view(torch.bfloat16).float()
    given[1:4] = torch.tensor([math.inf, -math.inf, -0.0])
    given[4:2004] = (ties[1000:3000].double() * (1 + 2.0**-8)).float()
    results = run(faulty, "halves", given, 4 * 65536).reshape(4, 65536)
    patterns = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    for ours, theirs in zip(
        results,
        [
            patterns.view(torch.float16).float(),
            patterns.view(torch.bfloat16).float(),
            given.half().float(),
            given.bfloat16().float(),
        ],
        strict=True,
    ):
        known = ~theirs.isnan()
        assert same_bits(ours[known], theirs[known])
        assert ours[~known].isnan().all()


def test_a_declaration_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(EmulationError, match=r"x\.cu declares a shared variable"):
        emulator.translate("__shared__ float a[3], b[4];", "x.cu")
