"""Plugins: found, listed without weight, blocked, broken, doubled, misspelt; and options read from their signature."""

import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import warnings
from pathlib import Path
from typing import Literal

import pytest
import torch

import featlab as fl
from featlab import plugins


def distribute(folder, *, name, module, source, point="extra"):
    """Write an installed distribution with one entry point: a module, and the metadata that pip would write."""
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{name.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text(f"[featlab]\n{point} = {module}\n")


def run(code, *, path=None, block="", warn="default"):
    environment = {**os.environ, "FEATLAB_BLOCK": block, "PYTHONWARNINGS": warn}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )


def cli(*arguments, path=None, block=""):
    return run(f"from featlab.cli import main; main({list(arguments)!r})", path=path, block=block)


THIN = """
    from featlab import Entry, hookimpl

    @hookimpl
    def featlab_threat_models():
        yield Entry("{name}", "{module}_heavy:Thin", "a thin set")
"""
HEAVY = """
    import torch
    from dataclasses import dataclass
    import featlab as fl

    @dataclass(frozen=True)
    class Thin(fl.ThreatModel):
        eps: float = 0.5
        times: int = 2
        def project(self, points, center): return center.clone()
        def steepest(self, grad): return grad.sign()
        def sample(self, center, *, key): return center.clone()
"""


def thin(folder, *, name="thin", module="thin_plugin", dist="featlab-thin", point="extra"):
    distribute(folder, name=dist, module=module, source=THIN.format(name=name, module=module), point=point)
    (folder / f"{module}_heavy.py").write_text(textwrap.dedent(HEAVY))


def test_first_party_plugins_are_all_listed_with_their_provider():
    done = cli("plugins", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    names = {
        (row["kind"], row["name"], row["provider"]) for row in listed["entries"] if row["distribution"] == "featlab"
    }
    assert names == {
        ("threat_models", "linf", "threat_models"),
        ("threat_models", "l2", "threat_models"),
        ("threat_models", "box", "threat_models"),
        ("threat_models", "masked", "threat_models"),
        ("extractors", "penultimate", "extractors"),
        ("extractors", "logits", "extractors"),
        ("extractors", "layer", "extractors"),
        ("tasks", "invert", "tasks"),
        ("tasks", "large-eps", "tasks"),
        ("datasets", "fashion-mini", "datasets"),
        ("datasets", "fashion-mnist", "datasets"),
        ("datasets", "cifar10", "datasets"),
    }
    assert all(row["version"] == fl.__version__ for row in listed["entries"] if row["distribution"] == "featlab")


def test_help_and_listing_import_neither_torch_nor_heavy_modules(tmp_path):
    thin(tmp_path)
    code = """
        import sys
        from featlab.cli import main
        try:
            main([{arguments}])
        except SystemExit as leave:
            assert leave.code == 0
        heavy = [name for name in ("torch", "numpy", "torchvision", "thin_plugin_heavy") if name in sys.modules]
        assert not heavy, heavy
    """
    for arguments in ('"--help"', '"plugins"', '"plugins", "--json"', '"--version"', '"demo", "--help"'):
        done = run(code.format(arguments=arguments), path=tmp_path)
        assert done.returncode == 0, done.stderr


def test_a_third_party_plugin_is_listed_and_used(tmp_path):
    thin(tmp_path)
    row = next(r for r in json.loads(cli("plugins", "--json", path=tmp_path).stdout)["entries"] if r["name"] == "thin")
    assert (row["distribution"], row["version"], row["provider"]) == ("featlab-thin", "1.2.3", "extra")
    done = run("import featlab as fl; print(fl.threat_model('thin:eps=1/4,times=7'))", path=tmp_path)
    assert done.stdout.strip() == "Thin(eps=0.25, times=7)", done.stderr


def test_a_plugin_that_cannot_be_imported_is_one_warning_and_a_row(tmp_path):
    distribute(tmp_path, name="featlab-broken", module="broken_plugin", source="raise RuntimeError('no such luck')")
    done = cli("plugins", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("could not be loaded") == 1
    assert "failed: extra (featlab-broken 1.2.3): RuntimeError: no such luck" in done.stdout
    assert "linf" in done.stdout
    assert run("import featlab as fl; fl.threat_model('l2:eps=1')", path=tmp_path).returncode == 0


def test_an_entry_whose_module_is_missing_names_its_plugin(tmp_path):
    thin(tmp_path)
    (tmp_path / "thin_plugin_heavy.py").unlink()
    done = run("import featlab as fl; fl.threat_model('thin')", path=tmp_path)
    assert "threat model 'thin' of plugin extra (featlab-thin 1.2.3) cannot be imported" in done.stderr


def test_two_providers_of_one_name_are_an_error_with_a_way_out(tmp_path):
    thin(tmp_path, name="linf", point="other")
    code = "import featlab as fl; print(fl.threat_model('linf:eps=0.1'))"
    done = run(code, path=tmp_path)
    assert "provided by both other (featlab-thin 1.2.3) and threat_models (featlab" in done.stderr
    assert "FEATLAB_BLOCK=" in done.stderr
    assert run(code, path=tmp_path, block="other").stdout.startswith("Linf(")
    assert run(code, path=tmp_path, block="featlab-thin").stdout.startswith("Linf(")
    assert run(code, path=tmp_path, block="threat_models").stdout.startswith("Thin(")


def test_a_misspelt_hook_is_an_error(tmp_path):
    source = THIN.format(name="x", module="y").replace("featlab_threat_models", "featlab_threat_model")
    distribute(tmp_path, name="featlab-typo", module="typo_plugin", source=source)
    done = cli("plugins", path=tmp_path)
    assert done.returncode == 2
    assert "featlab_threat_model" in done.stderr
    assert "featlab_threat_models, featlab_extractors, featlab_tasks, featlab_datasets" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hook_that_yields_something_else_names_its_plugin(tmp_path):
    source = """
        from featlab import hookimpl

        @hookimpl
        def featlab_tasks():
            yield "paint"
    """
    distribute(tmp_path, name="featlab-odd", module="odd_plugin", source=source)
    assert "extra (featlab-odd 1.2.3) must yield featlab.Entry; got 'paint'" in cli("plugins", path=tmp_path).stderr


def test_blocking_removes_one_and_the_rest_works():
    done = cli("plugins", "--json", block="linf")
    names = {row["name"] for row in json.loads(done.stdout)["entries"]}
    assert "linf" not in names
    assert {"l2", "box", "penultimate"} <= names
    code = "import featlab as fl; print(fl.threat_model('l2:eps=1')); fl.threat_model('linf:eps=0.1')"
    blocked = run(code, block="linf")
    assert blocked.stdout.startswith("L2(")
    assert "threat model must be one of box, l2, masked; got 'linf'" in blocked.stderr
    assert "blocked: tasks" in cli("plugins", block="tasks").stdout


@pytest.fixture
def registered(monkeypatch):
    """Put entries of one kind into the registry, in place of what is installed."""

    def put(kind, *entries):
        provider = plugins.Provider("here", "tests", "0", "loaded")
        offers = tuple(plugins.Offer(kind, entry, provider) for entry in entries)
        found = plugins.Registry((provider,), offers)
        for module in ("featlab.plugins", "featlab.datasets.catalog"):
            monkeypatch.setattr(f"{module}.registry", lambda: found)

    return put


def test_data_of_a_plugin_open_by_name(registered, tmp_path):
    asked = []

    def opener(*, train, root=None):
        asked.append((train, root))
        pixels = torch.zeros(3, 1, 2, 2)
        return fl.Dataset(pixels=pixels, labels=torch.zeros(3, dtype=torch.int64), classes=("a",), name="mine")

    registered("datasets", plugins.Entry("mine", opener, "three grey pictures"))
    assert len(fl.open_data("mine", train=True, root=tmp_path)) == 3
    assert asked == [(True, tmp_path)]
    assert len(fl.load_data("mine", train=False, count=2)[0]) == 2
    with pytest.raises(ValueError, match="did you mean 'mine'"):
        fl.open_data("mines", train=True)


def made(
    eps: float,
    steps: int = 3,
    flag: bool = False,
    name: str = "x",
    path: Path | None = None,
    kind: Literal["a", "b"] = "a",
    size: float | torch.Tensor = 1.0,
    net: torch.nn.Module | None = None,
):
    return eps, steps, flag, name, path, kind, size, net


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("m:eps=8/255", (8 / 255, 3, False, "x", None, "a", 1.0, None)),
        ("m:eps=1e-3,steps=7,flag=yes", (1e-3, 7, True, "x", None, "a", 1.0, None)),
        ("m:eps=inf, kind=b ,size=1/2", (float("inf"), 3, False, "x", None, "b", 0.5, None)),
        ("m:eps=0,path=/tmp/a,name=l2", (0.0, 3, False, "l2", Path("/tmp/a"), "a", 1.0, None)),
        ("m:eps=0,path=none", (0.0, 3, False, "x", None, "a", 1.0, None)),
    ],
)
def test_options_are_read_by_annotation(registered, spec, expected):
    registered("threat_models", plugins.Entry("m", made, ""))
    assert fl.threat_model(spec) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("m:epz=1", "did you mean 'eps'"),
        ("m", "threat model 'm' needs eps"),
        ("m:eps", "name=value"),
        ("m:eps=big", "eps must be a float; got 'big'"),
        ("m:eps=1/0", "eps must be a float; got '1/0'"),
        ("m:eps=1,steps=1.5", "steps must be a int; got '1.5'"),
        ("m:eps=1,flag=maybe", "flag must be a bool"),
        ("m:eps=1,kind=c", "must be one of a, b; got 'c'"),
        ("m:eps=1,net=resnet", "cannot be given as text"),
        ("n:eps=1", "threat model must be one of m; got 'n'"),
        ("m:eps=__import__('os')", "must be a float"),
    ],
)
def test_wrong_options_are_one_sentence(registered, spec, message):
    registered("threat_models", plugins.Entry("m", made, ""))
    with pytest.raises(ValueError, match=message):
        fl.threat_model(spec)


def test_options_in_python_are_checked_like_text(registered):
    registered("threat_models", plugins.Entry("m", made, ""))
    assert fl.threat_model("m", eps=2, steps=1)[:2] == (2, 1)
    assert fl.threat_model("m:eps=1,steps=9", eps=2)[:2] == (2, 9)
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        fl.threat_model("m", eps=2, step=1)


def test_an_extractor_that_no_plugin_names_is_a_layer(net, images):
    net.eval()
    assert fl.extractor(net, "penultimate")(images).shape == (10, 144)
    assert fl.extractor(net, "2:3")(images).shape == (10, 1)
    with pytest.raises(ValueError, match="no layer 'convolution'"):
        fl.extractor(net, "convolution")(images)


def test_listing_installed_plugins_warns_of_nothing():
    plugins.registry.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plugins.registry().names("threat_models") == ["box", "l2", "linf", "masked"]


GUIDE = Path(__file__).parent.parent / "plugins" / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_every_hook_is_in_the_guide_with_its_exact_signature():
    for name in (name for name in vars(plugins.Hooks) if name.startswith("featlab_")):
        parameters = list(inspect.signature(getattr(plugins.Hooks, name)).parameters)[1:]
        assert f"`{name}({', '.join(parameters)})`" in GUIDE.read_text()
    assert {f"featlab_{kind}" for kind in plugins.KINDS} == {n for n in vars(plugins.Hooks) if n.startswith("featlab_")}


def test_the_plugin_of_the_guide_works_as_it_says(tmp_path):
    package = tmp_path / "featlab_brightness"
    package.mkdir()
    models, hooks, check = blocks("python")
    (package / "models.py").write_text(models)
    (package / "__init__.py").write_text(hooks)
    project = tomllib.loads(blocks("toml")[0])
    info = tmp_path / "featlab_brightness-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1.0\n")
    points = project["project"]["entry-points"]["featlab"]
    (info / "entry_points.txt").write_text(
        "[featlab]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
    )
    listed = cli("plugins", path=tmp_path)
    assert "  brightness    one number is added to all values  [brightness]" in listed.stdout, listed.stderr
    assert "  brightness    one number is added to all values  [brightness]" in GUIDE.read_text()
    code = "from featlab_brightness.models import Brightness\nimport featlab as fl\n"
    code += "assert fl.threat_model('brightness:eps=1/5') == Brightness(0.2)\n" + check
    done = run(code, path=tmp_path)
    assert done.returncode == 0, done.stderr
