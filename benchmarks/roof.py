"""The roof: how fast this machine moves three float32 streams in and one out, measured in the rounds of each case.

On a CPU a C++ loop of its own, compiled when it is needed, on as many threads as PyTorch: once with stores that pass
the caches by, once in place; the faster one counts. Elsewhere, and without a compiler, torch.addcmul and a copy.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import Call

BYTES = 16
"""Bytes per element of three streams in and one out."""

SOURCE = r"""
#include <cstdint>
#include <immintrin.h>
#ifdef __AVX512F__
constexpr int64_t kWide = 16;
using Wide = __m512;
inline Wide load(const float* p) { return _mm512_loadu_ps(p); }
inline Wide add(Wide a, Wide b) { return _mm512_add_ps(a, b); }
inline void past(float* p, Wide v) { _mm512_stream_ps(p, v); }
inline void near(float* p, Wide v) { _mm512_storeu_ps(p, v); }
#else
constexpr int64_t kWide = 8;
using Wide = __m256;
inline Wide load(const float* p) { return _mm256_loadu_ps(p); }
inline Wide add(Wide a, Wide b) { return _mm256_add_ps(a, b); }
inline void past(float* p, Wide v) { _mm256_stream_ps(p, v); }
inline void near(float* p, Wide v) { _mm256_storeu_ps(p, v); }
#endif
extern "C" void stream(const float* a, const float* b, const float* c, float* out, int64_t n, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; i += kWide) past(out + i, add(add(load(a + i), load(b + i)), load(c + i)));
  _mm_sfence();
}
extern "C" void in_place(const float* a, const float* b, const float* c, float* out, int64_t n, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; i += kWide) near(out + i, add(add(load(out + i), load(b + i)), load(c + i)));
}
"""


def calls(device: torch.device) -> dict[str, Call]:
    """Return the candidates for the roof, each a function of four equal float32 tensors."""
    native = None if device.type != "cpu" else library()
    if native is None:
        return {
            "roof addcmul": lambda four: torch.addcmul(four[0], four[1], four[2], out=four[3]),
            "roof copy": lambda four: (four[0].copy_(four[1]), four[2].copy_(four[3])),
        }
    return {
        "roof stream": functools.partial(_run, native.stream),
        "roof in place": functools.partial(_run, native.in_place),
    }


def _run(function: ctypes._CFuncPtr, four: Sequence[Tensor]) -> None:
    function(*(tensor.data_ptr() for tensor in four), four[0].numel(), torch.get_num_threads())


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled loops, or None where there is no compiler or the machine has no AVX2."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None or torch.backends.cpu.get_cpu_capability() in {"DEFAULT", "NO AVX"}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "roof.cpp", Path(folder) / "roof.so"
        source.write_text(SOURCE)
        # OpenMP's symbols are found in the library that PyTorch has loaded, so both share one pool of threads.
        command = [compiler, "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-o", str(target), str(source)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            warnings.warn(f"the roof is PyTorch's own: {compiler} fails: {done.stderr.strip()[-200:]}", stacklevel=2)
            return None
        loaded = ctypes.CDLL(str(target))
    for function in (loaded.stream, loaded.in_place):
        function.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64, ctypes.c_int]
        function.restype = None
    return loaded


def sets(size: int, count: int, device: torch.device) -> list[list[Tensor]]:
    """Return `count` sets of four tensors that together hold `size` bytes, at least a quarter of a megabyte."""
    elements = max(size // BYTES, 1 << 14) // 64 * 64
    return [[aligned(elements, device) for _ in range(4)] for _ in range(count)]


def aligned(elements: int, device: torch.device) -> Tensor:
    """Return ones that begin at a multiple of 64 bytes, as stores past the caches must."""
    store = torch.ones(elements + 16, device=device)
    begin = -store.data_ptr() % 64 // 4
    return store[begin : begin + elements]


def moved(size: int) -> int:
    """Return the bytes that one call of the roof moves, for a case of `size` bytes."""
    return max(size // BYTES, 1 << 14) // 64 * 64 * BYTES
