"""What the source distribution and the wheel contain, and that neither needs a compiler."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def cleared(**environment: str) -> dict[str, str]:
    """Return the environment without this run's own settings, and with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEATLAB_")}
    return {**kept, **environment}


def build(kind: str, source: Path, target: Path, **environment: str) -> tuple[Path, str]:
    """Run the build backend in `source`; return the artefact and what was printed."""
    call = f"from setuptools import build_meta as b; print(b.build_{kind}({str(target)!r}))"
    command = [sys.executable, "-c", call]
    done = subprocess.run(command, cwd=source, env=cleared(**environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return target / done.stdout.split()[-1], done.stdout + done.stderr


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def is_pure(wheel: Path) -> bool:
    with zipfile.ZipFile(wheel) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
        return email.message_from_bytes(archive.read(record))["Root-Is-Purelib"] == "true"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))[0]


@pytest.fixture
def sdist(archive: Path, tmp_path: Path) -> Path:
    """The source distribution, unpacked where nothing else was built."""
    folder = tmp_path / "source"
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


def test_the_source_distribution_has_what_a_build_needs_and_nothing_built(sdist: Path) -> None:
    files = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob("*.*") if path.is_file()}
    assert len(sources) > 15
    assert sources <= files
    assert {"setup.py", "pyproject.toml", "featlab/ops/schema.py", "plugins/threat_models/__init__.py"} <= files
    unwanted = [name for name in files if name.endswith((".so", ".pyc", "_build.json")) or "__pycache__" in name]
    assert unwanted == []
    assert not [name for name in files if "node_modules" in name]


@pytest.fixture(scope="module")
def no_tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no compiler is found."""
    empty = tmp_path_factory.mktemp("empty")
    return {"PATH": str(empty), "CXX": "", "CUDA_HOME": "", "CUDA_PATH": "", "FEATLAB_CUDA": "0"}


def test_a_machine_without_a_compiler_gets_a_pure_wheel_and_one_warning(
    sdist: Path, tmp_path: Path, no_tools: dict[str, str]
) -> None:
    wheel, printed = build("wheel", sdist, tmp_path, **no_tools)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert is_pure(wheel)
    assert printed.count("featlab works without these extensions") == 1
    assert "no C++ compiler was found" in printed
    assert not [name for name in names(wheel) if name.endswith(".so")]
    page = {name for name in names(wheel) if name.startswith("featlab/studio/") and not name.endswith(".py")}
    assert page == {f"featlab/studio/static/{name}" for name in ("index.html", "studio.css", "studio.js")}


def test_a_pure_wheel_can_be_asked_for(sdist: Path, tmp_path: Path) -> None:
    wheel, printed = build("wheel", sdist, tmp_path, FEATLAB_NO_EXT="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "featlab works without" not in printed
    contained = names(wheel)
    assert {"featlab/ops/reference/balls.py", "featlab_plugins/threat_models/__init__.py"} <= contained
    assert {f"featlab/scaffold/templates/{name}.jinja" for name in ("kernel.cpp", "gitignore")} <= contained
    assert not [name for name in contained if name.endswith(".so") or name.startswith("csrc")]


def test_a_demand_that_cannot_be_met_is_an_error(sdist: Path, tmp_path: Path, no_tools: dict[str, str]) -> None:
    variables = cleared(**no_tools, FEATLAB_REQUIRE_EXT="1")
    command = [sys.executable, "setup.py", "-q", "build_ext", "-b", str(tmp_path / "lib"), "-t", str(tmp_path / "temp")]
    done = subprocess.run(command, cwd=sdist, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "an extension that was demanded could not be built" in done.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))


def test_a_source_that_does_not_compile_leaves_nothing_behind(sdist: Path, tmp_path: Path) -> None:
    broken = sdist / "csrc" / "cpu" / "balls.cpp"
    text = broken.read_text()
    variables = cleared(FEATLAB_CUDA="0", CXXFLAGS="-O0")
    command = [sys.executable, "setup.py", "-q", "build_ext", "-b", str(tmp_path / "lib"), "-t", str(tmp_path / "temp")]
    broken.write_text("this is not C++\n")
    try:
        done = subprocess.run(command, cwd=sdist, env=variables, capture_output=True, text=True, check=False)
    finally:
        broken.write_text(text)
    assert done.returncode == 0
    assert "featlab works without these extensions" in done.stderr
    assert not list((tmp_path / "lib").rglob("_cpu*.so"))
    assert '"_cpu": "' in (tmp_path / "lib" / "featlab" / "_build.json").read_text()


def test_a_wheel_holds_the_libraries_and_says_for_whom(sdist: Path, tmp_path: Path) -> None:
    wheel, _ = build("wheel", sdist, tmp_path, FEATLAB_CUDA="0", CXXFLAGS="-O0")
    contained = names(wheel)
    if "featlab/_cpu.so" not in contained:
        pytest.skip("there is no C++ compiler")
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert f"-{tag}-{tag}-" in wheel.name, "featlab._host is a module for this Python alone"
    assert not is_pure(wheel)
    assert [name for name in contained if name.startswith("featlab/_host.")]
    assert "featlab/_build.json" in contained
    assert "featlab_plugins/threat_models/__init__.py" in contained
    assert not [name for name in contained if name.startswith(("csrc", "tests", "build"))]
