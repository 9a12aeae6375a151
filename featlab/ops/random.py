"""Random numbers that are a function of (seed, example, restart, purpose, element) alone.

Philox4x32-10 (Salmon et al. 2011) in PyTorch, bit for bit what the kernels draw: the same on every device, whatever the
batch that an example is in and whatever was drawn before. Integers below 2^32 are held in int64.
"""

import math

import torch
from torch import Tensor

UNIFORM, NORMAL, RADIUS, EXPONENTIAL, SUBSET = 0, 1, 2, 3, 4
"""Purposes that the kernels use; other code takes numbers from 16 to 255."""

_WORD = 0xFFFFFFFF
_SIGNED = 1 << 63
_Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: _Words, key: tuple[int, int]) -> _Words:
    """Return ten rounds of Philox4x32 over the four counter words."""
    c0, c1, c2, c3 = counter
    key0, key1 = key
    for _ in range(10):
        even, odd = c0 * 0xD2511F53, c2 * 0xCD9E8D57  # wrap around at 2^64, as the words' upper halves need
        c0, c2 = ((odd >> 32) & _WORD) ^ c1 ^ key0, ((even >> 32) & _WORD) ^ c3 ^ key1
        c1, c3 = odd & _WORD, even & _WORD
        key0, key1 = (key0 + 0x9E3779B9) & _WORD, (key1 + 0xBB67AE85) & _WORD
    return c0, c1, c2, c3


def words(examples: Tensor, *, elements: int, seed: int, restart: int, purpose: int) -> Tensor:
    """Return (batch, elements) random 32-bit words, one per element of each example.

    Element i of an example is word i % 4 of the block with counter (i // 4, example, restart, purpose).
    """
    block = torch.arange(-(-elements // 4), device=examples.device)
    identity = examples.reshape(-1, 1)
    low, high = identity & _WORD, (identity >> 32) & _WORD
    tail = torch.full_like(identity, restart << 8 | purpose)
    drawn = philox((block.expand(len(examples), -1), low, high, tail), (seed & _WORD, (seed >> 32) & _WORD))
    return torch.stack(drawn, dim=-1).flatten(1)[:, :elements]


def symmetric_uniform(drawn: Tensor, dtype: torch.dtype) -> Tensor:
    """Return odd multiples of 2^-24, uniform in (-1, 1)."""
    return (2 * (drawn >> 8) + 1 - (1 << 24)).to(dtype) * 2.0**-24


def open_uniform(drawn: Tensor) -> Tensor:
    """Return float64 numbers uniform in (0, 1), never 0 nor 1."""
    return (drawn.double() + 0.5) * 2.0**-32


def uniform(center: Tensor, *, seed: int, examples: Tensor, restart: int = 0, purpose: int = 16) -> Tensor:
    """Return numbers uniform in (0, 1), shaped and typed like `center`, one stream per example."""
    drawn = words(examples, elements=_size(center), seed=seed, restart=restart, purpose=purpose)
    return (symmetric_uniform(drawn, center.dtype) * 0.5 + 0.5).reshape(center.shape)


def normal(center: Tensor, *, seed: int, examples: Tensor, restart: int = 0, purpose: int = 17) -> Tensor:
    """Return standard normal numbers shaped and typed like `center`, one stream per example."""
    drawn = normals(examples, elements=_size(center), seed=seed, restart=restart, purpose=purpose)
    return drawn.to(center.dtype).reshape(center.shape)


def normals(examples: Tensor, *, elements: int, seed: int, restart: int, purpose: int) -> Tensor:
    """Return (batch, elements) standard normal float64 numbers (Box and Muller 1958).

    Polynomials and operations stand in the kernels' order, so that the bits are the kernels'.
    """
    padded = -(-elements // 4) * 4
    drawn = words(examples, elements=padded, seed=seed, restart=restart, purpose=purpose)
    radius = exact_sqrt(-2.0 * log_unit(open_uniform(drawn[:, 0::2])))
    cosine, sine = unit_circle(drawn[:, 1::2])
    return torch.stack([radius * cosine, radius * sine], dim=-1).flatten(1)[:, :elements]


def exponential(drawn: Tensor) -> Tensor:
    """Return standard exponential float64 numbers, -ln u; the lowest bit of a word is left for a sign."""
    return -log_unit(((drawn >> 1).double() + 0.5) * 2.0**-31)


def fixed_sum(positive: Tensor) -> Tensor:
    """Return the sum of each row in units of 2^-32, every term rounded up: the same in whatever order it is taken."""
    return ((positive * 2.0**32).to(torch.int64) + 1).sum(dim=1).double() * 2.0**-32


def log_unit(u: Tensor) -> Tensor:
    """Return ln(u) for u in (0, 1): u = 2^e m with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m + 1))."""
    mantissa, exponent = torch.frexp(u)
    small = mantissa < 0.707106781186547524401
    mantissa = torch.where(small, mantissa * 2.0, mantissa)
    power = exponent.double() - small.double()
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = torch.full_like(z, 1.0 / 21)
    for odd in range(19, 0, -2):
        series = series * z + 1.0 / odd
    return power * 0.693147180559945309417 + s * 2.0 * series


def exact_sqrt(x: Tensor) -> Tensor:
    """Return the square roots of positive float64 numbers, rounded as IEEE 754 says.

    torch.sqrt on a CPU may go through a vector library that errs in the last bit: add what the exact residual x - s^2
    still asks for (Dekker 1971, "A floating-point technique for extending the available precision").
    """
    s = torch.sqrt(x)
    split = s * 134217729.0  # 2^27 + 1
    upper = split - (split - s)
    lower = s - upper
    square = s * s
    error = ((upper * upper - square) + 2.0 * upper * lower) + lower * lower
    return s + ((x - square) - error) / (2.0 * s)


def unit_circle(drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of 2 pi (word + 1/2) / 2^32; the top two bits of the word are the quadrant."""
    fraction = ((drawn & 0x3FFFFFFF).double() + 0.5) * 2.0**-30
    t = (fraction - 0.5) * 1.57079632679489661923
    z = t * t
    sine = t * _alternating(z, first=1)
    cosine = _alternating(z, first=0)
    x = (cosine - sine) * 0.707106781186547524401
    y = (cosine + sine) * 0.707106781186547524401
    odd, lower = (drawn >> 30) & 1 != 0, drawn >> 31 != 0
    x, y = torch.where(odd, -y, x), torch.where(odd, x, y)
    return torch.where(lower, -x, x), torch.where(lower, -y, y)


def _alternating(z: Tensor, *, first: int) -> Tensor:
    series = torch.full_like(z, 1.0 / math.factorial(first + (14 if first else 16)))
    for n in range(first + (12 if first else 14), first - 1, -2):
        series = 1.0 / math.factorial(n) - series * z
    return series


def _size(center: Tensor) -> int:
    return math.prod(center.shape[1:])


def signed(seed: int) -> int:
    """Return `seed` modulo 2^64 as the int64 number with the same bits."""
    return (seed + _SIGNED) % (2 * _SIGNED) - _SIGNED
