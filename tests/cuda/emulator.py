"""Compiles CUDA sources with the host compiler and runs their launches: see README.md beside this file.

`build` translates and compiles, `load` loads; `Emulator.launch` calls any function `launch_NAME` that a header
declares, with the structs of the headers as ctypes.
"""

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

EMULATION = Path(__file__).resolve().parent / "emulation"
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas"]
FLAGS += ["-fsanitize=alignment,bounds"]  # emulation/machine.cpp has the handlers
FLAGS += ["-Wno-psabi", "-U_FORTIFY_SOURCE"]  # fibres jump between stacks, which fortified longjmp takes for an error

_SHARED = re.compile(
    r"(?P<dynamic>extern\s+)?__shared__\s+(?:(?:alignas|__align__)\([^()]*\)\s*)?"
    r"(?P<type>[\w:]+(?:\s*<[^;{}]*>)?)\s+(?P<name>\w+)\s*(?P<size>(?:\[[^\]]*\])*)\s*;"
)
_LAUNCH = re.compile(r"<<<(.+?)>>>(?=\s*\()", re.DOTALL)


class EmulationError(Exception):
    """A launch that a device would refuse, or that would hang or be undefined there."""


def translate(text: str, name: str) -> str:
    """Return a CUDA source as C++: launches and shared variables are the only syntax that macros cannot carry."""

    def shared(found: re.Match[str]) -> str:
        if found["dynamic"]:
            return f"{found['type']}* const {found['name']} = ::emulation::dynamic_shared<{found['type']}>();"
        return f"auto& {found['name']} = ::emulation::shared<{found['type']}{found['size']}>([] {{}});"

    translated = _SHARED.sub(shared, _LAUNCH.sub(r" * ::emulation::Config{\1}", text))
    if "__shared__" in re.sub(r"//[^\n]*", "", translated):
        raise EmulationError(f"{name} declares a shared variable in a way that the emulation does not read.")
    return translated


@dataclass(frozen=True)
class Interface:
    """What headers declare: enumerations, structs as pairs of type and name, and the parameters of launches."""

    enums: dict[str, list[str]] = field(default_factory=dict)
    structs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    launches: dict[str, list[str]] = field(default_factory=dict)


_COMMENTS = re.compile(
    r"//[^\n]*|/\*.*?\*/|^#if defined\(__CUDACC__\)$.*?^#endif[^\n]*$|^#[^\n]*", re.DOTALL | re.MULTILINE
)


def interface(headers: Iterable[Path]) -> Interface:
    """Read the plain declarations that a launch header is made of."""
    found = Interface()
    for header in headers:
        text = _COMMENTS.sub("", header.read_text(encoding="utf-8"))
        for name, body in re.findall(r"enum class (\w+)[^{;]*\{([^}]*)\}", text):
            found.enums[name] = [item.split("=")[0].strip() for item in body.split(",") if item.strip()]
        for name, body in re.findall(r"struct (\w+) \{([^{}()]*)\};", text):
            found.structs[name] = [pair for line in body.split(";") for pair in _members(line)]
        for name, parameters in re.findall(r"void (launch_\w+)\(([^)]*)\);", text):
            found.launches[name] = [parameter.strip() for parameter in parameters.split(",")]
    return found


def _members(line: str) -> list[tuple[str, str]]:
    """Return (type, name) of a declaration such as `const float *points, *center`; initial values do not matter."""
    line = re.sub(r"\s*(=[^,]*|\{[^}]*\})", "", line.strip())
    if not line:
        return []
    kind, names = re.fullmatch(r"((?:const )?[\w:]+)([\s*&].*)", line, re.DOTALL).groups()
    members = []
    for name in names.split(","):
        stars, plain, size = re.fullmatch(r"(\**)\s*(\w+)((?:\[\w+\])?)", name.strip()).groups()
        members.append((kind + stars + size, plain))
    return members


_PLAIN = {
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "int8_t": ctypes.c_int8,
    "uint8_t": ctypes.c_uint8,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
}


def mirrors(declared: Interface) -> dict[str, Any]:
    """Return a ctypes.Structure for every struct whose members are numbers, pointers, enumerations or such structs."""
    types: dict[str, Any] = {**_PLAIN, **dict.fromkeys(declared.enums, ctypes.c_int)}
    waiting = dict(declared.structs)
    while True:
        ready = {name: members for name, members in waiting.items() if all(_type(types, kind) for kind, _ in members)}
        if not ready:
            return {name: types[name] for name in declared.structs if name in types}
        for name, members in ready.items():
            fields = [(member, _type(types, kind)) for kind, member in members]
            types[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
            del waiting[name]


def _type(types: dict[str, Any], kind: str) -> Any:
    base, _, count = kind.removeprefix("const ").removesuffix("]").partition("[")
    if base.endswith("*"):
        return ctypes.c_void_p
    one = types.get(base)
    return one if one is None or not count else (one * int(count) if count.isdigit() else None)


def _glue(declared: Interface, headers: Iterable[Path]) -> str:
    """Return C++ that gives each launch a C name and plain arguments, and tells the size of each struct."""
    lines = [f'#include "{header}"' for header in headers]
    lines += ["using namespace featlab;", '#define EXPORTED extern "C" __attribute__((visibility("default")))']
    for name, parameters in declared.launches.items():
        formal, actual = [], []
        for number, parameter in enumerate(parameters):
            kind = re.sub(r"\b\w+$", "", parameter).strip()
            if kind == "cudaStream_t":
                actual.append("nullptr")
                continue
            by_reference = kind.endswith("&")
            formal.append(f"{kind.removesuffix('&').strip()}{'*' if by_reference else ''} p{number}")
            actual.append(f"{'*' if by_reference else ''}p{number}")
        lines.append(f"EXPORTED void emulated_{name}({', '.join(formal)}) {{ {name}({', '.join(actual)}); }}")
    for name in mirrors(declared):
        lines.append(f"EXPORTED size_t size_of_{name}() {{ return sizeof({name}); }}")
    return "\n".join(lines) + "\n"


def build(sources: Path, folder: Path) -> Path:
    """Translate and compile `sources`/cuda/*.cu, with `sources`/common beside it, to a library in a new folder."""
    for part in ("common", "cuda"):
        if (sources / part).is_dir():
            shutil.copytree(sources / part, folder / part)
    for path in [*(folder / "cuda").glob("*.cu"), *(folder / "cuda").glob("*.cuh")]:
        path.write_text(translate(path.read_text(encoding="utf-8"), path.name), encoding="utf-8")
    headers = _headers(folder)
    (folder / "glue.cpp").write_text(_glue(interface(headers), headers), encoding="utf-8")
    units = [*sorted((folder / "cuda").glob("*.cu")), folder / "glue.cpp", *sorted(EMULATION.glob("*.cpp"))]
    objects = [folder / f"{unit.name}.o" for unit in units]
    compiler = os.environ.get("CXX") or "c++"
    flags = [*FLAGS, "-I", EMULATION, "-include", EMULATION / "cuda_emulation.h"]
    commands = [[compiler, *flags, "-o", made, "-x", "c++", "-c", unit] for unit, made in zip(units, objects)]
    with ThreadPoolExecutor(max_workers=int(os.environ.get("MAX_JOBS") or 2)) as pool:
        list(pool.map(_run, commands))
    _run([compiler, "-shared", "-o", folder / "unfinished.so", *objects])
    return (folder / "unfinished.so").rename(folder / "emulated.so")


def load(library: Path) -> "Emulator":
    """Load what `build` has made."""
    return Emulator(ctypes.CDLL(str(library)), interface(_headers(library.parent)))


def _headers(folder: Path) -> list[Path]:
    """Return the headers that say what the kernels take; those that read PyTorch's are of the registration."""
    found = [*sorted((folder / "common").glob("*.h")), *sorted((folder / "cuda").glob("*.h"))]
    return [path for path in found if not _reads_torch(path)]


def _reads_torch(header: Path) -> bool:
    included = re.findall(r'^#include (["<][^">]+)', header.read_text(encoding="utf-8"), re.MULTILINE)
    own = [header.parent / name[1:] for name in included if name[0] == '"']
    return any(name.startswith("<torch/") for name in included) or any(map(_reads_torch, own))


def _run(command: list[object]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise EmulationError(f"{Path(str(command[-1])).name} does not compile:\n{done.stderr}")


class Emulator:
    """The launches of a compiled library, on an emulated device."""

    def __init__(self, library: ctypes.CDLL, declared: Interface) -> None:
        self._library, self._declared = library, declared
        self.structs = mirrors(declared)
        library.emulation_error.restype = ctypes.c_char_p
        library.emulation_set.argtypes = [ctypes.c_uint64, ctypes.c_int, ctypes.c_uint]
        for name, mirror in self.structs.items():
            assert getattr(library, f"size_of_{name}")() == ctypes.sizeof(mirror), f"{name} is mirrored wrongly"
        self.set()

    @property
    def launches(self) -> list[str]:
        """The names that `launch` takes."""
        return sorted(name.removeprefix("launch_") for name in self._declared.launches)

    def set(self, *, order: int = 0, capability: int = 90, largest_cluster: int = 16) -> None:
        """Choose how fibres take turns (0 by thread, 1 backwards, else a seed) and what the device is."""
        self._library.emulation_set(order, capability, largest_cluster)

    def enum(self, kind: str, name: str) -> int:
        """Return the number of an enumerator."""
        return self._declared.enums[kind].index(name)

    def struct(self, kind: str, **members: object) -> ctypes.Structure:
        """Fill a struct by the names of its members: numbers, structs, tensors for pointers; all must be given."""
        mirror = self.structs[kind]
        missing = {name for name, _ in mirror._fields_} ^ set(members)
        assert not missing, f"{kind} has, or lacks, {sorted(missing)}"
        filled = mirror(**{name: address(value) for name, value in members.items()})
        filled.kept = members  # what the pointers point to must live as long
        return filled

    def per_example(self, values: Tensor) -> ctypes.Structure:
        """Return `Values`: one for all examples, or one each."""
        return self.struct("Values", data=values, stride=0 if values.numel() == 1 else 1)

    def launch(self, name: str, *arguments: object) -> None:
        """Run launch_NAME with its arguments but the stream; raise what the emulation says against it."""
        passed = [ctypes.byref(each) if isinstance(each, ctypes.Structure) else address(each) for each in arguments]
        getattr(self._library, f"emulated_launch_{name}")(*passed)
        error = self._library.emulation_error().decode()
        if error:
            raise EmulationError(f"{name}: {error}.")


def address(value: object) -> object:
    """Return the address of a tensor's data, and anything else as it is."""
    if isinstance(value, Tensor):
        assert value.device.type == "cpu"
        return ctypes.c_void_p(value.data_ptr()) if value.numel() else None
    return value
