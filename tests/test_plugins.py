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
from types import SimpleNamespace
from typing import Literal

import pluggy
import pytest
import torch

import featlab as fl
from featlab import plugins
from featlab.testing import DATASET_LAWS, EXTRACTOR_LAWS, TASK_LAWS, THREAT_MODEL_LAWS, name_of, text_of


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
        ("threat_models", "feathered", "threat_models"),
        ("threat_models", "l1", "threat_models"),
        ("threat_models", "l0", "threat_models"),
        ("threat_models", "patch", "threat_models"),
        ("threat_models", "rigid", "threat_models"),
        ("threat_models", "flow", "threat_models"),
        ("threat_models", "elastic", "threat_models"),
        ("threat_models", "hsb", "threat_models"),
        ("threat_models", "recolor", "threat_models"),
        ("threat_models", "frequency", "threat_models"),
        ("threat_models", "jpeg", "threat_models"),
        ("threat_models", "blur", "threat_models"),
        ("threat_models", "fog", "threat_models"),
        ("threat_models", "snow", "threat_models"),
        ("threat_models", "union", "threat_models"),
        ("threat_models", "sequential", "threat_models"),
        ("threat_models", "perceptual", "threat_models"),
        ("threat_models", "wasserstein", "threat_models"),
        ("threat_models", "fourier", "threat_models"),
        ("threat_models", "decorrelated", "threat_models"),
        ("extractors", "penultimate", "extractors"),
        ("extractors", "logits", "extractors"),
        ("extractors", "layer", "extractors"),
        ("extractors", "principal", "extractors"),
        ("extractors", "kernel", "extractors"),
        ("extractors", "dictionary", "extractors"),
        ("extractors", "bands", "extractors"),
        ("extractors", "random", "extractors"),
        ("tasks", "invert", "tasks"),
        ("tasks", "large-eps", "tasks"),
        ("tasks", "visualize", "tasks"),
        ("tasks", "interpolate", "tasks"),
        ("tasks", "add-feature", "tasks"),
        ("tasks", "paint", "tasks"),
        ("tasks", "generate", "tasks"),
        ("tasks", "inpaint", "tasks"),
        ("tasks", "superres", "tasks"),
        ("tasks", "translate", "tasks"),
        ("tasks", "sketch", "tasks"),
        ("tasks", "restore", "tasks"),
        ("tasks", "stylize", "tasks"),
        ("tasks", "rationalize", "tasks"),
        ("tasks", "worst-of", "tasks"),
        ("tasks", "stadv", "tasks"),
        ("datasets", "fashion-mini", "datasets"),
        ("datasets", "fashion-mnist", "datasets"),
        ("datasets", "cifar10", "datasets"),
        ("datasets", "imagenet-foolbox", "datasets"),
        ("datasets", "imagenet-photos", "datasets"),
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
    assert "provided by other (featlab-thin 1.2.3) and threat_models (featlab" in done.stderr
    assert "FEATLAB_BLOCK=other or FEATLAB_BLOCK=threat_models" in done.stderr
    assert run(code, path=tmp_path, block="other").stdout.startswith("Linf(")
    assert run(code, path=tmp_path, block="featlab-thin").stdout.startswith("Linf(")
    assert run(code, path=tmp_path, block="threat_models").stdout.startswith("Thin(")


def test_a_misspelt_hook_is_an_error(tmp_path):
    source = THIN.format(name="x", module="y").replace("featlab_threat_models", "featlab_threat_model")
    distribute(tmp_path, name="featlab-typo", module="typo_plugin", source=source)
    done = cli("plugins", path=tmp_path)
    assert done.returncode == 2
    assert "a hook of plugin extra (featlab-typo 1.2.3) must be one of featlab_datasets, " in done.stderr
    assert "got 'featlab_threat_model'; did you mean 'featlab_threat_models'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    left_out = cli("plugins", path=tmp_path, block="extra")
    assert left_out.returncode == 0
    assert "blocked: extra (featlab-typo 1.2.3)" in left_out.stdout


HOOK = """
    import featlab

    {decorator}
    def featlab_tasks({arguments}):
        {body}
"""


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ({"body": "yield 'paint'"}, "ValueError: featlab_tasks must yield featlab.Entry; got 'paint'"),
        ({"body": "raise OSError('no disk')"}, "OSError: no disk"),
        ({"decorator": ""}, "ValueError: featlab_tasks is not marked with @featlab.hookimpl"),
        ({"arguments": "registry"}, "PluginValidationError: "),
        ({"body": "yield featlab.Entry('a b', int, '')"}, "the name of an entry is made of letters"),
        ({"body": "yield featlab.Entry('a', 'm.f', '')"}, "make of entry 'a' must be a callable or a path"),
    ],
)
def test_a_wrong_hook_is_its_plugins_row_and_nobody_elses_end(tmp_path, hook, reason):
    source = HOOK.format(**{"decorator": "@featlab.hookimpl", "arguments": "", "body": "return []", **hook})
    distribute(tmp_path, name="featlab-odd", module="odd_plugin", source=source)
    done = cli("plugins", path=tmp_path)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("failed: extra (featlab-odd 1.2.3): "))
    assert reason in row
    assert done.stderr.count("warning: ") == 1
    assert "large-eps" in done.stdout


def test_providers_with_the_same_entry_point_are_told_apart_by_their_distribution(tmp_path):
    thin(tmp_path, point="same")
    thin(tmp_path, point="same", module="other_plugin", dist="featlab-other")
    code = "import featlab as fl; print(fl.threat_model('thin'))"
    assert "FEATLAB_BLOCK=featlab-other or FEATLAB_BLOCK=featlab-thin" in run(code, path=tmp_path).stderr
    assert run(code, path=tmp_path, block="featlab_other").stdout.startswith("Thin("), "dashes do not matter"


def test_a_name_yielded_twice_by_one_plugin_is_its_own_mistake():
    provider = plugins.Provider("here", "tests", "0", "loaded")
    offer = plugins.Offer("tasks", plugins.Entry("a", int, ""), provider)
    with pytest.raises(ValueError, match=r"task 'a' is yielded more than once by plugin here \(tests 0\)"):
        plugins.Registry((provider,), (offer, offer)).find("tasks", "a")


def test_an_unknown_name_is_met_with_the_nearest_and_who_provides_what(tmp_path):
    thin(tmp_path)
    done = run("import featlab as fl; fl.threat_model('thinn')", path=tmp_path)
    known = ", ".join(sorted([*plugins.registry().names("threat_models"), "thin"]))
    assert f"must be one of {known}; got 'thinn'; did you mean 'thin'?" in done.stderr
    assert "thin: extra (featlab-thin 1.2.3)" in done.stderr
    assert "linf, l2, l1, l0, box, masked, " in done.stderr
    assert ": threat_models (featlab" in done.stderr
    done = run("import featlab as fl; fl.threat_model('l2')", path=tmp_path, block="featlab,featlab-thin")
    assert "no plugin provides any threat model, so not 'l2' either" in done.stderr
    assert "blocked: threat_models (featlab" in done.stderr


def test_blocking_removes_one_and_the_rest_works():
    done = cli("plugins", "--json", block="linf")
    names = {row["name"] for row in json.loads(done.stdout)["entries"]}
    assert "linf" not in names
    assert {"l2", "box", "penultimate"} <= names
    code = "import featlab as fl; print(fl.threat_model('l2:eps=1')); fl.threat_model('linf:eps=0.1')"
    blocked = run(code, block="linf")
    assert blocked.stdout.startswith("L2(")
    others = ", ".join(name for name in plugins.registry().names("threat_models") if name != "linf")
    assert f"threat model must be one of {others}; got 'linf' (blocked: linf)" in blocked.stderr
    assert [row["name"] for row in json.loads(done.stdout)["blocked"]] == ["linf"]
    assert "blocked: threat model linf of threat_models" in cli("plugins", block="linf").stdout
    assert "blocked: tasks" in cli("plugins", block="tasks").stdout
    assert "warning: FEATLAB_BLOCK names 'lnif', which no installed plugin" in cli("plugins", block="lnif").stderr


def test_options_are_listed_on_request(tmp_path):
    thin(tmp_path)
    rows = {
        row["name"]: row for row in json.loads(cli("plugins", "--json", "--options", path=tmp_path).stdout)["entries"]
    }
    assert rows["thin"]["options"] == [
        {"name": "eps", "type": "float", "required": False, "default": "0.5"},
        {"name": "times", "type": "int", "required": False, "default": "2"},
    ]
    assert [option["name"] for option in rows["masked"]["options"] if option["required"]] == ["inside", "mask"]
    assert "times: int = 2" in cli("plugins", "--options", path=tmp_path).stdout
    (tmp_path / "thin_plugin_heavy.py").write_text("raise RuntimeError('no such luck')")
    done = cli("plugins", "--options", path=tmp_path)
    assert done.returncode == 0
    assert "cannot be imported from 'thin_plugin_heavy:Thin': RuntimeError: no such luck" in done.stdout


@pytest.fixture
def registered(monkeypatch):
    """Put entries of one kind into the registry, in place of what is installed."""

    def put(kind, *entries):
        provider = plugins.Provider("here", "tests", "0", "loaded")
        offers = tuple(plugins.Offer(kind, entry, provider) for entry in entries)
        found = plugins.Registry((provider,), offers)
        # Both call it by its name; the catalogue first, as it takes the other's when it is imported.
        for module in ("featlab.datasets.catalog", "featlab.plugins"):
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
    turn: tuple[float, float] | None = None,
    sizes: tuple[int, ...] = (),
):
    return eps, steps, flag, name, path, kind, size, net, *([turn] if turn else []), *sizes


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("m:eps=8/255", (8 / 255, 3, False, "x", None, "a", 1.0, None)),
        ("m:eps=1e-3,steps=7,flag=yes", (1e-3, 7, True, "x", None, "a", 1.0, None)),
        ("m:eps=inf, kind=b ,size=1/2", (float("inf"), 3, False, "x", None, "b", 0.5, None)),
        ("m:eps=0,path=/tmp/a,name=l2", (0.0, 3, False, "l2", Path("/tmp/a"), "a", 1.0, None)),
        ("m:eps=0,path=none", (0.0, 3, False, "x", None, "a", 1.0, None)),
        ("m:eps=0,turn=-30:1/2", (0.0, 3, False, "x", None, "a", 1.0, None, (-30.0, 0.5))),
        ("m:eps=0,sizes=3:1:2", (0.0, 3, False, "x", None, "a", 1.0, None, 3, 1, 2)),
        ("m:eps=0,name=[a,b=c]", (0.0, 3, False, "[a,b=c]", None, "a", 1.0, None)),
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
        ("m:eps=big", "eps of threat model 'm' must be a number such as 0.5 or 8/255; got 'big'"),
        ("m:eps=1/0", "must be a number such as 0.5 or 8/255; got '1/0'"),
        ("m:eps=1,steps=1.5", "steps of threat model 'm' must be a whole number; got '1.5'"),
        ("m:eps=1,flag=maybe", "must be true or false; got 'maybe'"),
        ("m:eps=1,kind=c", "must be one of a, b; got 'c'"),
        ("m:eps=1,net=resnet", "cannot be given as text"),
        ("n:eps=1", "threat model must be one of m; got 'n'"),
        ("m:eps=__import__('os')", "must be a number"),
        ("m:eps=1,turn=3", "must be 2 values with ':' between them; got '3'"),
        ("m:eps=1,turn=3:x", "must be a number such as 0.5 or 8/255; got 'x'"),
        ("m:eps=1,eps=2", "option 'eps' is given twice"),
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


def test_annotations_that_cannot_be_resolved_are_one_sentence(registered):
    def made_elsewhere(eps: "Missing"):  # noqa: F821
        return eps

    registered("threat_models", plugins.Entry("e", made_elsewhere, ""))
    with pytest.raises(ValueError, match=r"options of threat model 'e' cannot be given as text.*'Missing'"):
        fl.threat_model("e:eps=1")
    assert fl.threat_model("e", eps=1) == 1


def test_extractors_take_options_like_threat_models(registered, net, images):
    def scaled(model, *, by: float = 2.0):
        return lambda pictures: by * pictures.flatten(1)

    registered(
        "extractors",
        plugins.Entry("scaled", scaled, ""),
        plugins.Entry("layer", fl.Layer, ""),
        plugins.Entry("plain", lambda model, /: None, ""),
    )
    flat = images.flatten(1)
    assert torch.equal(fl.extractor(net, "scaled")(images), 2 * flat)
    assert torch.equal(fl.extractor(net, "scaled:by=1/2")(images), flat / 2)
    assert torch.equal(fl.extractor(net, "scaled:by=1/2", by=3.0)(images), 3 * flat)
    with pytest.raises(ValueError, match="an option of extractor 'scaled' must be one of by; got 'bye'"):
        fl.extractor(net, "scaled:bye=1")
    with pytest.raises(ValueError, match="extractor 'layer' needs where"):
        fl.extractor(net, "layer")
    with pytest.raises(ValueError, match="extractor 'plain' takes no options; got 'model'"):
        fl.extractor(net, "plain:model=1")


def test_an_extractor_that_no_plugin_names_is_a_layer(net, images):
    net.eval()
    assert fl.extractor(net, "penultimate")(images).shape == (10, 144)
    assert fl.extractor(net, "2:3")(images).shape == (10, 1)
    assert fl.extractor(net, "logits:2")(images).shape == (10, 1), "a name of a plugin may be a layer with units"
    with pytest.raises(ValueError, match="no layer 'convolution'"):
        fl.extractor(net, "convolution")(images)


def test_listing_installed_plugins_warns_of_nothing():
    plugins.registry.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {"box", "l0", "l1", "l2", "linf", "masked", "rigid"} <= set(plugins.registry().names("threat_models"))


GUIDE = Path(__file__).parent.parent / "plugins" / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_every_hook_is_in_the_guide_with_its_exact_signature():
    assert [name for name in vars(plugins.Hooks) if name.startswith("featlab_")] == list(plugins.HOOKS)
    for name in plugins.HOOKS:
        parameters = list(inspect.signature(getattr(plugins.Hooks, name)).parameters)[1:]
        assert f"`{name}({', '.join(parameters)})`" in GUIDE.read_text()
    named = set(re.findall(r"\bfeatlab_\w+(?=\()", GUIDE.read_text()))
    assert named == set(plugins.HOOKS), "the guide names a hook that there is not"


def test_every_method_of_a_threat_model_is_in_the_guide_with_its_exact_signature():
    table = GUIDE.read_text().partition("## What a threat model may define")[2].partition("\n## ")[0]
    methods = {name: each for name, each in vars(fl.ThreatModel).items() if not name.startswith("_")}
    assert re.findall(r"^\| `(\w+)", table, re.MULTILINE) == sorted(methods, key=lambda name: table.index(f"| `{name}"))
    for name, method in methods.items():
        parameters = [] if isinstance(method, property) else list(inspect.signature(method).parameters.values())[1:]
        keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        given = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
        signature = ", ".join([*given, *(["*", *keywords] if keywords else [])])
        wanted = name if isinstance(method, property) else f"{name}({signature})"
        assert f"| `{wanted}` |" in table, wanted


def test_every_property_of_the_kit_is_in_the_guide_in_its_own_words():
    laws = [*THREAT_MODEL_LAWS, *EXTRACTOR_LAWS, *TASK_LAWS, *DATASET_LAWS]
    table = GUIDE.read_text().partition("## What the kit asks")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `.*", table, re.MULTILINE) == [f"| `{name_of(law)}` | {text_of(law)} |" for law in laws]


@pytest.mark.parametrize("name", plugins.HOOKS)
def test_the_example_of_every_hook_works(name):
    example = inspect.getdoc(getattr(plugins.Hooks, name)).partition("\n\n")[2]
    space = {"featlab": fl}
    exec(example, space)  # The text is our own docstring.
    (entry,) = space[name]()
    assert isinstance(entry, fl.Entry)
    manager = pluggy.PluginManager("featlab")
    manager.add_hookspecs(plugins.Hooks)
    manager.register(SimpleNamespace(**{name: space[name]}))
    manager.check_pending()


def test_tasks_ask_for_what_they_need_by_the_words_of_the_guide():
    table = GUIDE.read_text().partition("| parameter | what it is |")[2].partition("\n\n")[0]
    words = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert {"model", "images", "labels", "mask", "reference", "unit"} <= words
    for name in plugins.registry().names("tasks"):
        parameters = inspect.signature(fl.task(name)).parameters.values()
        needed = {each.name for each in parameters if each.default is each.empty}
        assert needed <= words, name


def test_the_plugin_of_the_guide_works_as_it_says(tmp_path):
    """Blocks that begin with the name of a file are written there; the others are run, in their order."""
    checks = []
    for block in blocks("python"):
        file = re.match(r"# (\S+\.py)\n", block)
        if file is None:
            checks.append(block)
            continue
        (tmp_path / file[1]).parent.mkdir(exist_ok=True)
        (tmp_path / file[1]).write_text(block)
    assert len(checks) == 3
    project = tomllib.loads(blocks("toml")[0])["project"]
    points = project["entry-points"]["featlab"] | dict(re.findall(r'`(more) = "(\S+)"`', GUIDE.read_text()))
    info = tmp_path / "featlab_brightness.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(["[featlab]", *(f"{k} = {v}" for k, v in points.items())]))
    listed = cli("plugins", path=tmp_path).stdout
    shown = [line[4:] for line in GUIDE.read_text().splitlines() if re.match(r" {6}\w+ +\w.* \[", line)]
    assert len(shown) == 2
    assert all(line in listed.splitlines() for line in shown), listed
    done = run("\n".join(checks), path=tmp_path)
    assert done.returncode == 0, done.stderr
