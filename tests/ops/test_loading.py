"""What happens where a library is missing, broken, forbidden or demanded, and what the libraries may depend on."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import featlab
from featlab.ops import native

PACKAGE = Path(featlab.__file__).parent
CHECK = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    from featlab import ops
    x = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    g = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    try:
        values = [ops.linf_step(x, g, x, eps=0.03, step_size=0.01), ops.l2_step(x, g, x, eps=0.5, step_size=0.7),
                  ops.linf_sample(x, eps=0.1, seed=1, examples=torch.arange(3)),
                  ops.l2_sample(x, eps=0.1, seed=1, examples=torch.arange(3)),
                  ops.l1_step(x, g, x, eps=1.5, step_size=2.0, count=20), ops.l2_box_project(x + g, x, eps=0.5),
                  ops.l0_step(x, g, x, count=3, step_size=2.0),
                  ops.l1_sample(x, eps=9.0, seed=1, examples=torch.arange(3))]
        numbers = [v.view(torch.int32).flatten().tolist() for v in values]
    except RuntimeError as error:
        numbers = str(error)
texts = [str(w.message) for w in caught if "featlab" in str(w.message)]
print(json.dumps({"status": ops.status(), "numbers": numbers, "warnings": texts}))
"""


@functools.cache
def check(package_parent: Path, *environment: str) -> dict[str, object]:
    """Run CHECK on the package in a folder, with variables such as FEATLAB_EXT=0."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FEATLAB_")}
    variables = {**inherited, "PYTHONPATH": str(package_parent), "OMP_NUM_THREADS": "1"}
    variables |= dict(setting.split("=") for setting in environment)
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, cwd=package_parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's Python files elsewhere, without what was compiled."""
    parent = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("*.so", "_build.json", "__pycache__", "*.safetensors", "*.png")
    shutil.copytree(PACKAGE, parent / "featlab", ignore=ignored)
    return parent


def needs_kernels() -> None:
    if not native.LIBRARIES["cpu"].present:
        pytest.skip("no kernels were built")


def test_without_libraries_the_definitions_serve_and_the_build_says_why(copied: Path) -> None:
    facts = {"failed": {"_cpu": "no C++ compiler was found"}}
    (copied / "featlab" / "_build.json").write_text(json.dumps(facts))
    seen = check(copied, "FEATLAB_EXT=1")
    assert seen["status"]["libraries"]["cpu"]["reason"] == "_cpu.so was not built: no C++ compiler was found."
    assert seen["status"]["libraries"]["cuda"]["reason"] == "_cuda.so was not built."
    assert seen["status"]["ok"]
    assert not seen["warnings"]
    assert len(seen["numbers"]) == 8


def test_a_corrupt_library_is_named_once_and_does_without(copied: Path, tmp_path: Path) -> None:
    shutil.copytree(copied, tmp_path, dirs_exist_ok=True)
    (tmp_path / "featlab" / "_cpu.so").write_bytes(b"not a library")
    seen = check(tmp_path)
    assert not seen["status"]["libraries"]["cpu"]["loaded"]
    assert "_cpu.so does not load" in seen["status"]["libraries"]["cpu"]["reason"]
    assert len(seen["warnings"]) == 1
    assert len(seen["numbers"]) == 8
    demanded = check(tmp_path, "FEATLAB_EXT=require")
    assert not demanded["status"]["ok"]
    assert re.search("FEATLAB_EXT=require, but linf_step has no kernel on cpu: _cpu.so does not", demanded["numbers"])


def test_forbidden_and_native_runs_agree() -> None:
    needs_kernels()
    plain, fast = check(PACKAGE.parent, "FEATLAB_EXT=0"), check(PACKAGE.parent, "FEATLAB_EXT=require")
    assert plain["status"]["ops"]["l2_step"]["cpu"] == "FEATLAB_EXT=0 forbids it."
    assert fast["status"]["ops"]["l2_step"]["cpu"] == "native"
    assert fast["status"]["ok"]
    assert plain["numbers"][0] == fast["numbers"][0]
    assert plain["numbers"][2] == fast["numbers"][2]


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_instruction_set_gives_the_same_bits(isa: str) -> None:
    needs_kernels()
    best = check(PACKAGE.parent, "FEATLAB_EXT=require")
    if best["status"]["host"].get("isa") in ("baseline", isa):
        pytest.skip(f"this machine has nothing better than {isa}")
    other = check(PACKAGE.parent, "FEATLAB_EXT=require", f"FEATLAB_ISA={isa}")
    assert other["status"]["host"].get("isa", isa) == isa
    assert other["numbers"] == best["numbers"]


def test_an_unknown_mode_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATLAB_EXT", "yes")
    with pytest.raises(ValueError, match="FEATLAB_EXT must be one of 0, 1, require; got 'yes'"):
        native.mode()


@pytest.mark.parametrize(
    ("torch_cuda", "built", "words"),
    [
        (None, "13.0", "no CUDA"),
        ("12.8", "13.0", "built with CUDA 13.0, this PyTorch uses CUDA 12.8"),
        ("13.2", "13.0", None),
        ("13.0", None, None),
    ],
)
def test_what_keeps_the_cuda_library_out(torch_cuda: str | None, built: str | None, words: str | None) -> None:
    reason = native._cuda_obstacle(torch_cuda, built)
    assert (reason is None) if words is None else (reason is not None and words in reason)


def test_a_cuda_call_that_falls_back_warns_once_for_each_reason() -> None:
    native._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="in place of its CUDA kernels: because of a test"):
        native._warn_once("because of a test")
    native._warn_once("because of a test")  # a second warning would be an error
    assert native.fallback_reason("cpu", torch.float64) is not None
    assert "no kernels for device" in str(native.fallback_reason("mps", torch.float32))


@pytest.mark.parametrize("name", ["_cpu.so", "_cuda.so"])
def test_the_libraries_use_the_stable_abi_only(name: str) -> None:
    if not (PACKAGE / name).is_file() or shutil.which("nm") is None:
        pytest.skip(f"{name} was not built, or there is no nm")
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", str(PACKAGE / name)], capture_output=True, text=True, check=True
    ).stdout
    symbols = [line.split()[-1] for line in listing.splitlines()]
    versioned = [s for s in symbols if "@" in s]
    assert all(re.search("@(GLIBC|GLIBCXX|CXXABI|GCC)_", s) for s in versioned)
    plain = [s for s in symbols if "@" not in s]
    assert len(plain) > 20
    allowed = re.compile(r"(aoti_torch_|torch_)\w+|_ITM_\w+|__gmon_start__|__cxa_finalize")
    assert [s for s in plain if not allowed.fullmatch(s)] == []


def test_the_build_file_names_no_path() -> None:
    facts = native.build_facts()
    if not facts:
        pytest.skip("nothing was built")
    assert "/" not in json.dumps(facts)
    assert {"torch", "built", "failed", "python"} <= facts.keys()
