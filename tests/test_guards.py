"""What keeps the tree as it was designed: imports run one way, one loop, small functions, no tunnels, no strays."""

import ast
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "featlab").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])

ORDER = [
    {"types", "names", "files", "specs", "runs", "intervals", "similarity"},
    {"freezing", "data", "recording", "ops"},
    {"threat_models"},
    {"rules", "adaptive", "sparse_adaptive", "smallest", "random_search", "objectives", "averages", "pictures"},
    {"problem", "moving", "checks", "following"},
    {"plugins", "models", "forms"},
    {"attacks"},
    {"engine"},
    {"evaluation", "distortion", "sanity", "smoothing", "comparison"},
    {"training"},
    {"datasets", "features", "theory", "synthesis"},
    {"recipes", "audit"},
    {"report"},
    {"central"},
    {"testing", "scaffold"},
    {"cli"},
]
"""Each set of modules may import the sets before it, and its own members."""
LEVEL = {module: level for level, modules in enumerate(ORDER) for module in modules}


def imports(path):
    """Yield the modules of featlab that a file imports, at its top or anywhere inside."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "featlab":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("featlab."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("featlab."))


@pytest.mark.parametrize("path", sorted((ROOT / "featlab").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = path.relative_to(ROOT / "featlab").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in LEVEL, f"{own} has no place in the order of imports"
    for module in imports(path):
        if module in {"__version__", own}:
            continue
        assert LEVEL[module] < LEVEL[own] or {module, own} <= ORDER[LEVEL[own]], f"{own} must not import {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_only_the_public_api(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("featlab."), f"from {node.module} import ..."
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("featlab."), f"import {alias.name}"


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_small_and_signatures_honest(path):
    assert path.read_text().count("\n") <= 400
    for node in functions(path):
        doc = ast.get_docstring(node, clean=False)
        skipped = node.body[0].end_lineno - node.body[0].lineno + 1 if doc else 0
        assert node.end_lineno - node.lineno + 1 - skipped <= 50, node.name
        if not node.name.startswith("_"):
            assert node.args.kwarg is None, f"{node.name} takes **{node.args.kwarg and node.args.kwarg.arg}"
            # A definition has the arguments of its operator, which has no keywords.
            most = 9 if path.parent.name == "reference" else 8
            assert len(node.args.posonlyargs) + len(node.args.args) <= most, node.name


def calls(node):
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            function = inner.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_ascent(loop):
    """Say whether a loop moves points: it projects or steps, or it counts and takes gradients."""
    called = set(calls(loop))
    counts = isinstance(loop, ast.While) or "range" in set(calls(loop.iter))
    return bool(called & {"project", "steepest", "moved"}) or (counts and bool(called & {"grad", "backward"}))


def test_there_is_one_loop_over_steps():
    """A loop that takes gradients of its own and moves along them would be a second definition of an ascent."""
    found = [
        (path.name, node.lineno)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.For | ast.While) and is_ascent(node)
    ]
    assert [name for name, _ in found] == ["problem.py"], found
    second = "for _ in range(9):\n    (g,) = torch.autograd.grad(score(x).sum(), x)\n    x = x + g"
    assert is_ascent(ast.parse(second).body[0])  # The guard can fail.


def test_no_eval_no_pickle():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path
            if isinstance(node.func, ast.Attribute) and node.func.attr == "load" and "torch" in ast.unparse(node.func):
                assert "weights_only=True" in ast.unparse(node), path
        assert not re.search(
            r"pickle\.(loads?|Unpickler)\b|^\s*(import|from) (dill|cloudpickle)\b", path.read_text(), re.M
        )


def test_every_package_is_installed():
    """setuptools is given the packages by name, so a new folder must be named too."""
    text = (ROOT / "pyproject.toml").read_text()
    for folder in {path.parent for path in SOURCES if path.name == "__init__.py"}:
        parts = folder.relative_to(ROOT).parts
        name = ".".join(["featlab_plugins", *parts[1:]] if parts[0] == "plugins" else parts)
        assert f'"{name}",' in text, name


def tracked():
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_path_of_a_machine_in_any_tracked_text():
    for path in tracked():
        if path.suffix in {".png", ".safetensors"}:
            continue
        text = path.read_text(encoding="utf-8")
        assert str(ROOT.parent) + "/" not in text or len(ROOT.parent.parts) < 2, path


LICENCES = re.compile(r"MIT|BSD|Apache|MPL|HPND|PSF|Python Software Foundation|Unlicense|public domain", re.I)


def required():
    """Return the distributions that pyproject.toml names, for users and for developers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return sorted({re.match(r"[\w-]+", line)[0] for line in lines} - {"featlab"})


@pytest.mark.parametrize("name", required())
def test_what_we_stand_on_has_a_free_and_permissive_licence(name):
    try:
        facts = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    classifiers = [line for line in facts.get_all("Classifier", []) if line.startswith("License")]
    said = " ".join([facts.get("License-Expression") or "", (facts.get("License") or "")[:200], *classifiers])
    assert LICENCES.search(said), said
    assert "GPL" not in said, said
