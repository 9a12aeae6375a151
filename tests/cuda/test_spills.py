"""What ptxas says of every kernel: nothing is spilled to memory, and there is nothing to warn of."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).resolve().parents[2] / "csrc" / "cuda").glob("*.cu"))
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
SPILLING = """
__global__ void __launch_bounds__(1024, 2) crowded(float* values) {
  float many[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) many[i] = values[i * threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) values[i + threadIdx.x] = many[63 - i];
}
"""


def compiled(source: Path, folder: Path) -> str:
    """Return what the compiler and ptxas print while they compile for sm_90 as setup.py does."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [*(str(Path(home, "bin", "nvcc")) for home in homes), "nvcc", "/usr/local/cuda/bin/nvcc"]
    nvcc = next((found for place in places if (found := shutil.which(place))), None)
    if nvcc is None:
        pytest.skip("nvcc was not found")
    command = [nvcc, "-std=c++20", "-O3", "-fmad=false", "-Xptxas=-v", "-arch=sm_90", "-cubin"]
    command += [str(source), "-o", str(folder / f"{source.stem}.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def spilled(printed: str) -> list[str]:
    """Return the name of each kernel that spills, and every warning; there must be kernels."""
    kernels = re.findall(r"Function properties for (\S+)\n(.*)", printed)
    assert kernels, printed
    faults = [name for name, use in kernels if SPILLS.search(use).groups() != ("0", "0")]
    return faults + [line for line in printed.splitlines() if "warning" in line.lower()]


def test_no_kernel_spills(tmp_path: Path) -> None:
    assert SOURCES
    with ThreadPoolExecutor(max_workers=int(os.environ.get("MAX_JOBS") or 2)) as pool:
        printed = list(pool.map(lambda source: compiled(source, tmp_path), SOURCES))
    assert [fault for text in printed for fault in spilled(text)] == []


def test_a_spill_would_be_seen(tmp_path: Path) -> None:
    source = tmp_path / "spilling.cu"
    source.write_text(SPILLING, encoding="utf-8")
    (fault,) = spilled(compiled(source, tmp_path))
    assert "crowded" in fault
