"""Random numbers: known answers, equality of all implementations, moments and support of the samplers."""

import importlib
import math

import pytest
import torch
from torch import Tensor

from featlab import ops
from featlab.ops import native, random

from ops_cases import norms, same_bits

MASK = 0xFFFFFFFF
KNOWN = [  # from the Random123 distribution's kat_vectors
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK, MASK), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def plain_philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 in unbounded integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        even, odd = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = odd >> 32 ^ c1 ^ k0, odd & MASK, even >> 32 ^ c3 ^ k1, even & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def host() -> object:
    try:
        return importlib.import_module("featlab._host")
    except ImportError:
        if native.mode() == "require":
            raise
        return pytest.skip("featlab._host was not built")


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]) -> None:
    assert plain_philox(counter, key) == answer
    drawn = random.philox(tuple(torch.tensor([word]) for word in counter), key)
    assert tuple(int(word) for word in drawn) == answer
    assert host().philox(counter, key) == answer


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63, 2**64 - 1, 123456789012345])
@pytest.mark.parametrize("example", [0, 5, -3, 2**40 + 1])
def test_the_counter_is_the_element_the_example_the_restart_and_the_purpose(seed: int, example: int) -> None:
    drawn = random.words(torch.tensor([example]), elements=10, seed=seed, restart=9, purpose=2)[0].tolist()
    expected: list[int] = []
    for block in range(3):
        identity = example % 2**64
        counter = (block, identity & MASK, identity >> 32, 9 << 8 | 2)
        expected += plain_philox(counter, (seed % 2**64 & MASK, seed % 2**64 >> 32))
    assert drawn == expected[:10]
    words = host().words(seed=seed % 2**64, example=example, restart=9, purpose=2, block=1)
    assert list(words) == expected[4:8]


def test_normals_have_the_same_bits_in_python_and_in_cpp() -> None:
    drawn = random.words(torch.arange(50), elements=8, seed=3, restart=0, purpose=1)
    ours = random.normals(torch.arange(50), elements=8, seed=3, restart=0, purpose=1)
    for row, numbers in zip(drawn.tolist(), ours.tolist(), strict=True):
        for pair in range(0, 8, 2):
            assert host().normal_pair(row[pair], row[pair + 1]) == (numbers[pair], numbers[pair + 1])


@pytest.mark.parametrize("word", [0, 1, MASK, 1 << 30, (1 << 30) - 1, 1 << 31, 3 << 30, 12345678])
def test_the_polynomials_are_the_functions(word: int) -> None:
    turn = (word + 0.5) / 2**32
    angle = 2 * math.pi * (turn - round(turn))  # small near a whole turn, where the functions are
    cosine, sine = random.unit_circle(torch.tensor([word]))
    assert float(cosine) == pytest.approx(math.cos(angle), abs=4e-16)
    assert float(sine) == pytest.approx(math.sin(angle), abs=4e-16)
    u = (word + 0.5) / 2**32
    assert float(random.log_unit(torch.tensor([u], dtype=torch.float64))) == pytest.approx(math.log(u), rel=4e-16)


def draws(name: str, center: Tensor, **options: object) -> Tensor:
    return getattr(ops, name)(center, **{"seed": 11, "examples": torch.arange(len(center)), **options})


@pytest.mark.parametrize("name", ["linf_sample", "l2_sample"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 31])
@pytest.mark.parametrize("eps", [0.0, 8 / 255, 0.5, 40.0, math.inf])
def test_kernel_and_definition_draw_the_same(name: str, size: int, eps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    center = torch.rand(6, size, generator=torch.Generator().manual_seed(size))
    ours = draws(name, center, eps=eps)
    monkeypatch.setattr("featlab.ops.native.is_native", lambda *_: False)
    plain = draws(name, center, eps=eps)
    assert same_bits(ours, plain) if name == "linf_sample" else torch.allclose(ours, plain, rtol=0, atol=2.0**-23)


@pytest.mark.parametrize("eps", [2.0**-149, 1e-9, 8 / 255, 0.3, 1.0, 10.0])
def test_samples_are_in_the_set(way: str, eps: float) -> None:
    center = torch.rand(5, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    for restart in range(3):
        box = draws("linf_sample", center, eps=eps, restart=restart)
        assert ((box.double() - center.double()).abs() <= eps).all()
        ball = draws("l2_sample", center, eps=eps, restart=restart)
        assert (norms(ball.double() - center.double()) <= eps).all()
        assert all(((drawn >= 0) & (drawn <= 1)).all() for drawn in (box, ball))


def test_linf_samples_are_uniform(way: str) -> None:
    drawn = draws("linf_sample", torch.zeros(40, 1000), eps=1.0, low=-2.0, high=2.0).double().flatten()
    count = drawn.numel()
    assert abs(drawn.mean()) < 5 / math.sqrt(3 * count)
    assert abs(drawn.square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / count)
    quantiles = torch.linspace(-1, 1, count, dtype=torch.float64)
    assert (drawn.sort().values - quantiles).abs().max() < 4 / math.sqrt(count)


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_l2_samples_are_uniform_in_the_ball(way: str, size: int) -> None:
    drawn = draws("l2_sample", torch.zeros(20000, size), eps=2.0, low=-9.0, high=9.0).double()
    count = len(drawn)
    share = (torch.linalg.vector_norm(drawn, dim=1) / 2) ** size  # of the volume inside: uniform in (0, 1)
    assert (share.sort().values - torch.linspace(0, 1, count, dtype=torch.float64)).abs().max() < 2.5 / math.sqrt(count)
    spread = 4 / (size + 2)  # variance of a coordinate
    assert drawn.mean(dim=0).abs().max() < 5 * math.sqrt(spread / count)
    covariance = drawn.T @ drawn / count
    assert (covariance - spread * torch.eye(size, dtype=torch.float64)).abs().max() < 6 * spread / math.sqrt(count)


def test_normals_are_normal() -> None:
    drawn = random.normal(torch.zeros(100, 1000, dtype=torch.float64), seed=5, examples=torch.arange(100)).flatten()
    count = drawn.numel()
    expected = torch.special.ndtri(torch.linspace(0.5 / count, 1 - 0.5 / count, count, dtype=torch.float64))
    share = torch.special.ndtr(drawn.sort().values) - torch.special.ndtr(expected)
    assert share.abs().max() < 2 / math.sqrt(count)
    pairs = drawn.reshape(-1, 2)
    assert abs((pairs[:, 0] * pairs[:, 1]).mean()) < 5 / math.sqrt(len(pairs))


@pytest.mark.parametrize("name", ["linf_sample", "l2_sample"])
def test_a_draw_depends_on_its_key_alone(way: str, name: str) -> None:
    center = torch.full((7, 2, 5, 3), 0.5)
    examples = torch.tensor([3, 1, 4, 1, 5, 9, -2])
    whole = draws(name, center, eps=0.25, examples=examples)
    parts = [draws(name, center[rows], eps=0.25, examples=examples[rows]) for rows in ([0, 1], [2], [3, 4, 5, 6])]
    assert same_bits(torch.cat(parts), whole)
    assert same_bits(whole[1], whole[3])
    assert same_bits(draws(name, center.to(memory_format=torch.channels_last), eps=0.25, examples=examples), whole)
    for change in ({"seed": 12}, {"restart": 1}, {"examples": examples + 1}):
        other = draws(name, center, eps=0.25, **{"examples": examples, **change})
        assert not torch.equal(other[0], whole[0])


@pytest.mark.parametrize("name", ["linf_sample", "l2_sample"])
def test_an_infinite_radius_means_the_box(way: str, name: str) -> None:
    drawn = draws(name, torch.rand(10, 1000), eps=math.inf, low=0.25, high=0.75).double()
    assert ((drawn >= 0.25) & (drawn <= 0.75)).all()
    assert drawn.mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(12 * 10000))
    center = torch.rand(2, 9)
    assert torch.equal(draws(name, center, eps=math.inf, low=-math.inf, high=math.inf), center)
