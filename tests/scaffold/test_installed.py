"""Each kind of plugin is written, installed, listed, checked, used without a change to featlab, and removed again."""

import subprocess
import sys
from pathlib import Path

import pytest

from featlab import scaffold

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
RECIPE = """
data = "fashion-mini"
net = {{ architecture = "small_cnn", arguments = {{ channels = [4, 8], strides = [2, 2] }} }}
schedule = {{ epochs = 1, lr = 0.1, batch_size = 50 }}
inner = {{ threat_model = "{spec}", steps = 2, step_size = 0.05 }}
"""


def others(listed):
    """Return the names that are listed and not featlab's own, with what they are."""
    status, told = listed
    assert status == 0
    return {row["name"]: row["kind"] for row in told["entries"] if row["distribution"] != "featlab"}


def check(name):
    return ("plugin", "check", name, "--examples", 5)


def passed(checked):
    """Return the entries that a check asked about, after seeing that nothing is broken."""
    status, told = checked
    assert (status, told["passed"]) == (0, True), told
    return [entry["name"] for entry in told["entries"]]


def own_tests_pass(environment, *folders):
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-rs")
    said = environment.run("-m", "pytest", *options, *folders)
    assert "skipped" not in said
    assert " passed" in said


def test_a_threat_model_from_its_first_line_to_its_removal(environment, tmp_path):
    """Trained, evaluated and attacked within a set that featlab has never heard of; then nothing is left of it."""
    before, spec = environment.files(), "demo-set:eps=1/5"
    environment.install(scaffold.write("demo-set", kind="threat-model", out=tmp_path))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(spec=spec))
    net, quick = tmp_path / "net.safetensors", ("--count", 60, "--device", "cpu")
    told = ("--data", "fashion-mini", "--threat-model", spec, *quick)
    listed, checked, trained, evaluated, attacked = environment.featlab(
        ["plugins"],
        check("demo-set"),
        ["train", "--recipe", tmp_path / "recipe.toml", "--out", net, *quick],
        ["evaluate", net, "--suite", "quick", *told],
        ["attack", net, "--steps", 3, "--out", tmp_path / "found.safetensors", *told],
    )
    assert others(listed) == {"demo-set": "threat_models"}
    assert passed(checked) == ["demo-set"]
    assert (trained[0], evaluated[0], attacked[0]) == (0, 0, 0)
    assert evaluated[1]["robust"][0]["robust"]["n"] == 60
    assert attacked[1]["still_correct"]["accuracy"] <= evaluated[1]["clean"]["accuracy"]
    assert "DemoSet(eps=0.2)" in attacked[1]["threat_model"]
    environment.remove("demo-set")
    assert environment.files() == before
    listed, checked = environment.featlab(["plugins"], check("demo-set"))
    assert others(listed) == {}
    assert checked[0] == 2


def test_the_other_kinds_install_and_pass_at_once(environment, tmp_path):
    before = environment.files()
    kinds = {"demo-set": "threat-model", "demo-eye": "extractor", "demo-deed": "task", "demo-dots": "dataset"}
    folders = [scaffold.write(name, kind=kind, out=tmp_path / "plugins") for name, kind in kinds.items()]
    environment.install(*folders)
    told = ("--data", "fashion-mini", "--count", 2, "--class", 3, "--near", 5, "--steps", 2, "--out", tmp_path / "run")
    listed, eye, deed, dots, done = environment.featlab(
        ["plugins"],
        *map(check, ("demo-eye", "demo-deed", "demo-dots")),
        ["task", "demo-deed", "zoo:fashion-standard", *told],
    )
    assert set(others(listed)) == set(kinds)
    assert (passed(eye), passed(deed)) == (["demo-eye"], ["demo-deed"])
    assert passed(dots) == ["demo-dots", "demo-dots"], "both parts"
    assert (done[0], done[1]["task"], done[1]["count"]) == (0, "demo-deed", 2)
    assert (tmp_path / "run" / "demo-deed.png").exists()
    own_tests_pass(environment, *folders)
    environment.remove(*kinds)
    assert environment.files() == before


def test_a_kernel_is_compiled_agrees_and_is_removed(environment, tmp_path):
    before = environment.files()
    folder = scaffold.write("demo-set", kind="kernel", out=tmp_path)
    environment.install(folder)
    if not [name for name in environment.files() if "/_kernel." in name]:
        pytest.skip("there is no C++ compiler")
    own_tests_pass(environment, folder)
    assert passed(*environment.featlab(check("demo-set"))) == ["demo-set"]
    environment.remove("demo-set")
    assert environment.files() == before


def test_without_a_compiler_the_definition_serves(environment, tmp_path):
    folder = scaffold.write("demo-set", kind="kernel", out=tmp_path)
    (folder / "src" / "demo_set" / "kernel.cpp").write_text("this is not C++\n")
    environment.install(folder)
    why_not = environment.run("-c", "from demo_set import kernel; print(kernel.WHY_NOT)")
    assert "_kernel" in why_not
    assert passed(*environment.featlab(check("demo-set"))) == ["demo-set"]


@pytest.mark.parametrize("kind", sorted(scaffold.FILES))
def test_what_is_written_is_tidy(kind, tmp_path):
    folder = scaffold.write("demo-set", kind=kind, out=tmp_path)
    rules = ("--isolated", "--line-length", "120", "--select", "E,F,I,UP,B,RUF,PT,SIM", "--no-cache")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
