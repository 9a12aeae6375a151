"""The extension modules; everything else stands in pyproject.toml.

`featlab/_cpu.so` and `featlab/_cuda.so` register operators through the LibTorch stable ABI: one build serves PyTorch
2.10 and later. `featlab._host` is a pybind11 module without PyTorch. Environment variables:

FEATLAB_NO_EXT=1        build none of them: a pure Python package
FEATLAB_REQUIRE_EXT=1   fail where one of them fails; by default one warning is printed and the package does without
FEATLAB_CUDA=auto|0|1   `auto` builds _cuda.so where nvcc is found, whatever PyTorch is installed; `1` demands it
TORCH_CUDA_ARCH_LIST    such as "9.0" or "8.0;9.0+PTX"; by default all that nvcc knows of 7.5 to 12.0
CXX, CXXFLAGS, MAX_JOBS, CUDA_HOME, NVCC_APPEND_FLAGS   as everywhere
"""

import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

TARGET = "0x020a000000000000"  # the stable ABI of PyTorch 2.10
ARCHITECTURES = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
SOURCES = {
    "featlab._cpu": sorted(map(str, Path("csrc/cpu").glob("*.cpp"))),
    "featlab._cuda": sorted(map(str, [*Path("csrc/cuda").glob("*.cu"), *Path("csrc/cuda").glob("*.cpp")])),
    "featlab._host": ["csrc/host/host.cpp"],
}
HEADERS = sorted(str(path) for path in Path("csrc").rglob("*") if path.suffix in {".h", ".inc", ".cuh"})
# No fused or reordered arithmetic: the kernels must give the same bits as their definition.
COMMON = ["-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"]
EXACT = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-Wno-psabi"]
UNRESOLVED = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []


class BuildError(Exception):
    """One sentence on why an extension cannot be built."""


@dataclass(frozen=True)
class Torch:
    """What of the installed PyTorch the build needs."""

    version: str
    root: Path

    @property
    def compile_flags(self) -> list[str]:
        include = self.root / "include"
        folders = [include, include / "torch" / "csrc" / "api" / "include"]
        return [f"-DTORCH_TARGET_VERSION={TARGET}", *system(*folders)]

    @property
    def link_flags(self) -> list[str]:
        return [f"-L{self.root / 'lib'}", "-ltorch_cpu"]


def system(*folders: str | Path) -> list[str]:
    return [flag for folder in folders for flag in ("-isystem", str(folder))]


def find_torch() -> Torch:
    spec = importlib.util.find_spec("torch")  # found and not imported: that takes seconds
    if spec is None or spec.origin is None:
        raise BuildError("PyTorch is not installed in the build environment")
    root = Path(spec.origin).parent
    version = re.search(r"__version__ = '([^']+)'", (root / "version.py").read_text(encoding="utf-8"))
    return Torch(version=version[1] if version else "unknown", root=root)


def find_compiler() -> str:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    for name in names:
        if shutil.which(name):
            return name
    raise BuildError(f"no C++ compiler was found (looked for {', '.join(names)})")


def find_nvcc() -> str | None:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    places = [*(str(Path(home, "bin", "nvcc")) for home in homes if home), "nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((found for place in places if (found := shutil.which(place))), None)


def output_of(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{Path(command[0]).name} does not run") from error


def cuda_version(nvcc: str) -> str:
    found = re.search(r"release (\d+\.\d+)", output_of(nvcc, "--version"))
    if not found:
        raise BuildError("nvcc does not tell its version")
    return found[1]


def architectures(nvcc: str) -> list[str]:
    """Return the architectures to compile for; the last of the default list also as PTX, for what comes after it."""
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(",", ";").replace(" ", ";")
    listed = [item for item in wanted.split(";") if item]
    if listed:
        return listed
    known = output_of(nvcc, "--list-gpu-arch").split()
    served = [arch for arch in ARCHITECTURES if f"compute_{arch.replace('.', '')}" in known]
    if not served:
        raise BuildError("nvcc knows none of the architectures from 7.5 to 12.0; set TORCH_CUDA_ARCH_LIST")
    return [*served[:-1], f"{served[-1]}+PTX"]


def arch_flags(archs: list[str]) -> list[str]:
    flags = []
    for arch in archs:
        number = arch.removesuffix("+PTX").replace(".", "")
        if not re.fullmatch(r"\d{2,3}[af]?", number):
            raise BuildError(f"TORCH_CUDA_ARCH_LIST: {arch!r} is not an architecture such as 9.0 or 9.0+PTX")
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if arch.endswith("+PTX"):
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return flags


JOBS = threading.Semaphore(int(os.environ.get("MAX_JOBS") or os.cpu_count() or 1))


def run(command: list[str]) -> None:
    """Run one compiler; show what it says and raise if it fails."""
    with JOBS:
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.stderr.strip():
        print(result.stderr, file=sys.stderr)
    if result.returncode != 0:
        raise BuildError(f"{Path(command[0]).name} failed with exit status {result.returncode}")


def run_all(commands: list[list[str]]) -> None:
    """Run commands side by side."""
    with ThreadPoolExecutor(max_workers=len(commands)) as pool:
        list(pool.map(run, commands))


class Build(build_ext):
    """Compiles each extension by itself: what fails leaves nothing behind and takes nothing else with it."""

    def get_ext_filename(self, fullname: str) -> str:
        # The operator libraries are no Python modules: one file name whatever the interpreter.
        if fullname.endswith(("_cpu", "_cuda")):
            return str(Path(*fullname.split(".")).with_suffix(".so"))
        return super().get_ext_filename(fullname)

    def build_extensions(self) -> None:
        self.facts = {"python": platform.python_version(), "built": [], "failed": {}}
        with ThreadPoolExecutor() as pool:
            failures = list(pool.map(self.attempt, self.extensions))
        for extension, failure in zip(self.extensions, failures):
            name = extension.name.rpartition(".")[2]
            if failure is None:
                self.facts["built"].append(name)
            else:
                self.facts["failed"][name] = failure
        self.extensions[:] = [ext for ext, failure in zip(self.extensions, failures) if failure is None]
        self.report()
        facts = Path(self.build_lib, "featlab", "_build.json")
        facts.parent.mkdir(parents=True, exist_ok=True)
        facts.write_text(json.dumps(self.facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def attempt(self, extension: Extension) -> str | None:
        """Build one extension; return why it failed, in words that name no path of this machine."""
        try:
            self.build_one(extension, extension.name.rpartition(".")[2])
        except BuildError as error:
            return str(error)
        except OSError as error:
            print(error, file=sys.stderr)
            return f"{type(error).__name__} while compiling"
        return None

    def report(self) -> None:
        failed = self.facts["failed"]
        if not failed:
            return
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        if os.environ.get("FEATLAB_REQUIRE_EXT") == "1" or ("_cuda" in failed and cuda_wanted() == "1"):
            raise SystemExit(f"featlab: an extension that was demanded could not be built ({reasons}).")
        self.warn(f"featlab works without these extensions, slower: {reasons}. `featlab doctor` says what is missing.")

    def build_one(self, extension: Extension, name: str) -> None:
        objects = Path(self.build_temp, name)
        shutil.rmtree(objects, ignore_errors=True)
        objects.mkdir(parents=True)
        target = Path(self.get_ext_fullpath(extension.name))
        target.unlink(missing_ok=True)
        unfinished = objects / target.name
        {"_cpu": self.cpu, "_cuda": self.cuda, "_host": self.host}[name](extension.sources, objects, unfinished)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unfinished, target)

    def cpu(self, sources: list[str], objects: Path, target: Path) -> None:
        torch, compiler = find_torch(), find_compiler()
        self.facts |= {"torch": torch.version, "compiler": output_of(compiler, "--version").splitlines()[0]}
        flags = ["-std=c++20", *COMMON, *EXACT, *torch.compile_flags, *shlex.split(os.environ.get("CXXFLAGS", ""))]
        files = [str(objects / f"{Path(source).stem}.o") for source in sources]
        run_all([[compiler, *flags, "-c", source, "-o", file] for source, file in zip(sources, files)])
        run([compiler, "-shared", *files, "-o", str(target), *torch.link_flags, *UNRESOLVED])

    def host(self, sources: list[str], objects: Path, target: Path) -> None:
        try:
            import pybind11
        except ImportError as error:
            raise BuildError("pybind11 cannot be imported in the build environment") from error
        compiler = find_compiler()
        includes = system(pybind11.get_include(), sysconfig.get_paths()["include"])
        flags = ["-std=c++20", *COMMON, "-O1", *EXACT, *includes, *shlex.split(os.environ.get("CXXFLAGS", ""))]
        run([compiler, *flags, "-shared", *sources, "-o", str(target), *UNRESOLVED])

    def cuda(self, sources: list[str], objects: Path, target: Path) -> None:
        torch, compiler, nvcc = find_torch(), find_compiler(), find_nvcc()
        if nvcc is None:
            raise BuildError("nvcc was not found")
        archs = architectures(nvcc)
        self.facts |= {"cuda": cuda_version(nvcc), "architectures": archs}
        exact = ["-fmad=false", "-Xptxas=-v" if os.environ.get("FEATLAB_VERBOSE") == "1" else "-Xptxas=-warn-spills"]
        host = [f"-Xcompiler={flag}" for flag in ("-fPIC", "-fvisibility=hidden", "-Wall", "-ffp-contract=off")]
        flags = [nvcc, "-ccbin", compiler, "-std=c++20", "-O3", *exact, *host, *arch_flags(archs)]
        files = [str(objects / f"{Path(source).name}.o") for source in sources]
        torch_flags = ["-DUSE_CUDA", *torch.compile_flags]
        run_all(
            [
                [*flags, *(torch_flags if source.endswith(".cpp") else []), "-c", source, "-o", file]
                for source, file in zip(sources, files)
            ]
        )
        stub = empty_library(compiler, objects, "libtorch_cuda.so")
        link = [nvcc, "-ccbin", compiler, "-shared", "-cudart", "static", *arch_flags(archs), *files]
        needed = ["-Xlinker=--no-as-needed", f"-L{stub.parent}", "-ltorch_cuda"]
        run([*link, "-o", str(target), *needed, *torch.link_flags])

    def copy_extensions_to_source(self) -> None:
        """Bring the results of an in-place build into the source tree, and take away those of an earlier one."""
        super().copy_extensions_to_source()
        for name in {"_cpu", "_cuda"} - set(self.facts["built"]):
            Path("featlab", f"{name}.so").unlink(missing_ok=True)
        self.copy_file(str(Path(self.build_lib, "featlab", "_build.json")), str(Path("featlab", "_build.json")))

    def copy_file(self, infile: str, outfile: str, *args: object, **options: object) -> tuple[str, bool]:
        # A running process may have the old file mapped: replace the name, never the bytes.
        unfinished = f"{outfile}.unfinished"
        super().copy_file(infile, unfinished, *args, **options)
        os.replace(unfinished, outfile)
        return outfile, True


def empty_library(compiler: str, folder: Path, name: str) -> Path:
    """Return a library with nothing but a name to link against: a PyTorch without CUDA has no libtorch_cuda.so."""
    source, library = folder / "empty.cpp", folder / name
    source.write_text("", encoding="utf-8")
    run([compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", str(source), "-o", str(library)])
    return library


class Wheel(bdist_wheel):
    """Says what is in the wheel: a wheel whose extensions all failed is a pure one."""

    def run(self) -> None:
        self.run_command("build")
        if self.distribution.ext_modules is not None and not self.get_finalized_command("build_ext").extensions:
            self.root_is_pure = True
        super().run()


def cuda_wanted() -> str:
    value = os.environ.get("FEATLAB_CUDA", "auto")
    if value not in {"auto", "0", "1"}:
        raise SystemExit(f"featlab: FEATLAB_CUDA must be auto, 0 or 1; got {value!r}.")
    return value


def extensions() -> list[Extension]:
    if os.environ.get("FEATLAB_NO_EXT") == "1":
        return []
    skipped = cuda_wanted() == "0" or (cuda_wanted() == "auto" and find_nvcc() is None)
    names = [name for name in SOURCES if not (skipped and name == "featlab._cuda")]
    return [Extension(name, SOURCES[name], depends=HEADERS) for name in names]


setup(ext_modules=extensions(), cmdclass={"build_ext": Build, "bdist_wheel": Wheel})
