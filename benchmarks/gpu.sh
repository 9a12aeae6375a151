#!/usr/bin/env bash
# What only a CUDA device can show: builds the kernels for the device at hand, runs the tests marked `gpu` (kernels, and
# attacks recorded as graphs, against the CPU or the same without a graph), lets compute-sanitizer look for stray
# accesses, races and barriers on small odd shapes, and times operators and attacks. Results go to
# benchmarks/results/DEVICE.json.
#
#   PYTHON   the interpreter; .venv/bin/python by default
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

say() { printf '\n== %s\n' "$*"; }

facts=$("$python" - <<'PY'
import re
import sys

import torch

if not torch.cuda.is_available():
    sys.exit(f"PyTorch {torch.__version__} (CUDA: {torch.version.cuda}) sees no CUDA device.")
major, minor = torch.cuda.get_device_capability()
print(f"{major}.{minor}", re.sub("[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-"))
PY
) || {
  echo "make gpu needs a CUDA device. Without one, make test runs the kernels in an emulation." >&2
  exit 2
}
read -r capability device <<<"$facts"

say "building for $device (compute capability $capability)"
FEATLAB_REQUIRE_EXT=1 FEATLAB_CUDA=1 TORCH_CUDA_ARCH_LIST=$capability "$python" setup.py -q build_ext --inplace

export FEATLAB_EXT=require OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
say "tests marked gpu"
"$python" -m pytest -q -m gpu

# Every allocation by itself, so that an access beyond a tensor is one beyond an allocation.
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck; do
    say "compute-sanitizer $tool"
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$python" -m pytest -q -m gpu -k small -p no:cacheprovider
  done
else
  say "compute-sanitizer is not installed: races and stray accesses were not looked for"
fi

say "timing operators and attacks"
mkdir -p benchmarks/results
"$python" -m benchmarks ops attacks --json "benchmarks/results/$device.json"
say "wrote benchmarks/results/$device.json"
