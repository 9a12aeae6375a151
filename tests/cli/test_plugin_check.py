"""`featlab plugin check`: the kit on what is installed; passes, failures by name, and questions that are wrong."""

import json
import sys

import pytest
import torch

import featlab as fl
from featlab import plugins
from featlab.cli import main

from known import Cube


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as leave:
        main(["plugin", "check", *map(str, arguments)])
    said = capsys.readouterr()
    return leave.value.code, said.out, said.err


class Shrinking(Cube):
    """Tiny gradients make small steps."""

    def steepest(self, grad):
        return grad / (grad.abs() + 1e-8)


def soft(*, eps: float, soft: bool = False):
    return (Shrinking if soft else Cube)(eps)


def flat(model):
    return lambda images: images.flatten(1).detach()


def careless(model, images, labels, *, steps: int = 1000):
    """A task that leaves the model in training mode, and says how many steps it was asked for."""
    assert steps < 100, "nobody waits for a thousand steps here"
    model.train()
    return fl.Problem(fl.cross_entropy(model, labels), images, fl.threat_model("box"), steps, 0.1)


def colourless(images, within, colour):
    return fl.Problem(fl.stay_near(images), images, within, 1, 0.1)


def dots(*, train, root=None, size: int = 2):
    labels = torch.arange(4) % (2 if train else 1)
    return fl.Dataset(pixels=torch.rand(4, 1, size, size), labels=labels, classes=("a", "b"), name="dots")


ENTRIES = {
    "threat_models": [
        plugins.Entry("cube", Cube, ""),
        plugins.Entry("soft", soft, ""),
        plugins.Entry("box", lambda: Cube(1.0), ""),
    ],
    "extractors": [plugins.Entry("flat", flat, "")],
    "tasks": [plugins.Entry("careless", careless, ""), plugins.Entry("colourless", colourless, "")],
    "datasets": [plugins.Entry("dots", dots, "")],
}


@pytest.fixture
def faulty(monkeypatch):
    """Put plugins with and without faults in place of what is installed: two distributions, one with a data set."""
    mine, other = (plugins.Provider(name, f"featlab-{name}", "1.0", "loaded") for name in ("mine", "other"))
    offers = tuple(
        plugins.Offer(kind, entry, other if kind == "datasets" else mine)
        for kind, entries in ENTRIES.items()
        for entry in entries
    )
    found = plugins.Registry((mine, other), offers)
    import featlab.testing.installed  # noqa: F401  # It takes the registry's name when it is imported.

    for module in ("featlab.testing.installed", "featlab.plugins"):
        monkeypatch.setattr(f"{module}.registry", lambda: found)


def outcomes(out):
    """Return the outcome of each property of each entry, as printed with --json."""
    return [{each["name"]: each["outcome"] for each in row["properties"]} for row in json.loads(out)["entries"]]


def test_what_is_right_passes_one_line_per_property(capsys):
    status, out, err = call(capsys, "linf:eps=8/255", "--examples", 3)
    assert (status, err) == (0, "")
    head, *lines = out.splitlines()
    assert head == f"threat model linf  [threat_models (featlab {fl.__version__})], images of 3x8x8, eps={8 / 255}"
    said = {line.split()[1]: line.split()[0] for line in lines}
    assert said["project-idempotent"] == said["step-definition"] == said["ascent"] == "pass"
    assert said["project-nearest"] == "skip"
    assert set(said.values()) == {"pass", "skip"}


def test_a_failure_is_named_with_its_reason_and_the_status_is_1(faulty, capsys):
    status, out, _ = call(capsys, "soft:eps=1/5", "--examples", 5)
    assert status == 1
    (line,) = [line for line in out.splitlines() if line.startswith("  fail")]
    assert line.split()[1] == "steepest-scale"
    assert "steepest of 1e-12 times the gradient must be the same" in line
    assert call(capsys, "soft:eps=1/5,soft=no", "--examples", 5)[0] == 0, "truth values are tried unless given"
    status, out, _ = call(capsys, "soft:eps=1/5", "--examples", 5, "--exempt", "steepest-scale")
    assert status == 0
    assert "  exempt  steepest-scale       by request" in out.splitlines()


def test_options_and_shapes_are_taken(faulty, capsys):
    shapes = ("--shape", "3,4,4", "--shape", "7", "--examples", 3, "--json")
    status, out, _ = call(capsys, "cube", "--option", "eps=1/4", *shapes)
    assert status == 0
    answer = json.loads(out)
    assert answer["passed"] is True
    assert [row["about"] for row in answer["entries"]] == ["images of 3x4x4, eps=0.25", "images of 7, eps=0.25"]
    assert [(row["kind"], row["distribution"]) for row in answer["entries"]] == [("threat model", "featlab-mine")] * 2


def test_extractors_tasks_and_data_are_filled_in_by_what_they_ask_for(faulty, capsys):
    status, out, _ = call(capsys, "flat", "--json")
    assert (status, outcomes(out)[0]["features-gradient"], outcomes(out)[0]["model-kept"]) == (1, "fail", "pass")
    status, out, _ = call(capsys, "careless", "--json")
    assert status == 1
    assert [name for name, outcome in outcomes(out)[0].items() if outcome == "fail"] == ["model-kept"]
    status, out, _ = call(capsys, "featlab-other", "--json")
    train, test = outcomes(out)
    assert (status, train["deterministic"], test["labels-named"]) == (1, "fail", "fail")
    assert train["labels-named"] == "pass"


@pytest.mark.parametrize("name", ["invert", "large-eps", "penultimate", "layer:where=layer1", "fashion-mini"])
def test_featlabs_own_hold(name, capsys):
    status, out, _ = call(capsys, name, "--json")
    assert status == 0, out
    assert all("pass" in row.values() for row in outcomes(out))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cubes"], "an entry point or a distribution) must be one of box, careless, "),
        (["cubes"], "did you mean 'cube'?"),
        (["cube"], "threat model 'cube' needs eps; write for example --option eps=..."),
        (["cube:eps=x"], "eps of threat model 'cube' must be a number"),
        (["cube:eps=1,low=0"], "an option of 'cube' must be one of eps; got 'low'"),
        (["cube:eps=1/5", "--shape", "3x8"], "a shape is written as whole numbers with commas, such as 3,8,8"),
        (["cube:eps=1/5", "--shape", "0,2"], "got '0,2'"),
        (["cube", "--option", "eps"], "an option is written name=value, such as eps=8/255; got 'eps'"),
        (["cube:eps=1/5", "--exempt", "ascend"], "a law to exempt must be one of "),
        (["flat", "--shape", "7"], "extractors and tasks are tried on images, --shape CHANNELS,HEIGHT,WIDTH; got (7,)"),
        (["colourless"], "task 'colourless' needs colour"),
        (["careless", "--within", "bax"], "did you mean 'box'?"),
    ],
)
def test_a_wrong_question_is_one_sentence(faulty, arguments, sentence, capsys):
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_two_entries_of_one_name_are_an_error_with_a_way_out(monkeypatch, capsys):
    one, two = (plugins.Provider(name, name, "1", "loaded") for name in ("one", "two"))
    entry = plugins.Entry("cube", Cube, "")
    offers = tuple(plugins.Offer("threat_models", entry, provider) for provider in (one, two))
    found = plugins.Registry((one, two), offers)
    monkeypatch.setattr("featlab.testing.installed.registry", lambda: found)
    status, _, err = call(capsys, "cube:eps=1/5")
    assert status == 2
    assert "FEATLAB_BLOCK=one or FEATLAB_BLOCK=two" in err


def test_without_hypothesis_it_says_what_to_install(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("featlab.testing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("featlab.testing", raising=False)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    status, _, err = call(capsys, "linf:eps=1/5")
    assert status == 2
    assert "the conformance kit needs hypothesis, which is not installed; pip install 'featlab[testing]'" in err
