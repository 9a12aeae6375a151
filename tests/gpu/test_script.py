"""benchmarks/gpu.sh: what it runs, and that it stops where something fails. Needs no device."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
if [ "$1" = - ]; then echo "9.0 nvidia-test"; exit 0; fi
echo "$TORCH_CUDA_ARCH_LIST|$FEATLAB_EXT|$PYTORCH_NO_CUDA_MEMORY_CACHING|$*" >> "$LOG"
case "$*" in *"$FAILING"*) exit 3 ;; esac
"""
SANITIZER = """#!/bin/sh
echo "compute-sanitizer $2" >> "$LOG"
shift 4
exec "$@"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash was not found")


def script(folder: Path, failing: str, *, sanitizer: bool = True) -> tuple[int, list[str]]:
    """Run a copy of the script among programs that only write down how they are called."""
    for name, text in {"python": PYTHON, "compute-sanitizer": SANITIZER if sanitizer else None}.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o755)
    (folder / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "gpu.sh", folder / "benchmarks")
    log = folder / "log"
    log.touch()
    variables = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHON": str(folder / "python"), "LOG": str(log)}
    command = ["bash", str(folder / "benchmarks" / "gpu.sh")]
    done = subprocess.run(command, env={**variables, "FAILING": failing}, capture_output=True, check=False)
    return done.returncode, log.read_text(encoding="utf-8").splitlines()


def test_it_builds_tests_sanitizes_and_times_in_this_order(tmp_path: Path) -> None:
    status, log = script(tmp_path, "nothing fails")
    assert status == 0
    small = "|require|1|-m pytest -q -m gpu -k small -p no:cacheprovider"
    assert log == [
        "9.0|||setup.py -q build_ext --inplace",
        "|require||-m pytest -q -m gpu",
        *[
            "compute-sanitizer memcheck",
            small,
            "compute-sanitizer racecheck",
            small,
            "compute-sanitizer synccheck",
            small,
        ],
        "|require||-m benchmarks ops attacks --json benchmarks/results/nvidia-test.json",
    ]


@pytest.mark.parametrize(
    ("failing", "calls"), [("setup.py", 1), ("-m pytest -q -m gpu", 2), ("-k small", 4), ("benchmarks", 9)]
)
def test_it_stops_where_something_fails(tmp_path: Path, failing: str, calls: int) -> None:
    status, log = script(tmp_path, failing)
    assert status == 3
    assert len(log) == calls


def test_it_does_without_a_sanitizer(tmp_path: Path) -> None:
    if shutil.which("compute-sanitizer", path="/usr/bin:/bin"):
        pytest.skip("a sanitizer is installed among the system's programs")
    status, log = script(tmp_path, "nothing fails", sanitizer=False)
    assert (status, len(log)) == (0, 3)


def test_without_a_device_it_says_so_and_does_nothing() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh")]
    variables = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "sees no CUDA device" in done.stderr
    assert "make gpu needs a CUDA device" in done.stderr
