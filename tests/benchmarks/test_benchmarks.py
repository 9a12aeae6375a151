"""The benchmark suite: rows are complete, nothing that failed is silent, tables are what the results give."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from benchmarks import peers, roof, rows, tables, timing
from benchmarks.attacks import bench as attacks
from benchmarks.attacks.ladder import LEVERS
from benchmarks.attacks.providers import PROVIDERS
from benchmarks.attacks.setting import Setting, as_found, excess, fooled
from benchmarks.ops import bench as ops
from benchmarks.ops.cases import Sizes
from benchmarks.options import Options
from benchmarks.rows import Row
from featlab import ops as public
from featlab.ops.schema import DEFINITIONS

from known import Linear

ROOT = Path(__file__).resolve().parent.parent.parent
CPU = torch.device("cpu")
KEYS = {
    *("bench", "name", "provider", "shape", "dtype", "p20_us", "p50_us", "p80_us", "bytes", "roof_fraction"),
    *("peak_bytes", "fooled", "ratio", "found", "device", "versions", "date", "note", "error"),
}


def command(*arguments):
    line = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_quick_run_writes_whole_rows(tmp_path):
    """The command itself, with a pattern that chooses one operator."""
    path = tmp_path / "rows.json"
    done = command("ops", "--quick", "--only", "linf_project", "--threads", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert all(set(row) == KEYS for row in found)
    by = {row["provider"]: row for row in found}
    own = by["featlab operator" if by["featlab operator"]["error"] is None else "featlab"]
    assert 0 < own["p20_us"] <= own["p50_us"] <= own["p80_us"]
    assert own["bytes"] == 3 * 256 * 3072 * 4 + 4  # Points and center in, out out, and eps.
    assert own["ratio"]["eager"] == pytest.approx(by["eager"]["p50_us"] / own["p50_us"], rel=0.01)
    assert max(row["roof_fraction"] for name, row in by.items() if name.startswith("roof")) == 1.0
    assert by["compile eager"]["error"] == "left out by --quick"
    assert {"torch", "featlab", "commit", "foolbox"} <= set(own["versions"])
    assert "1 threads" in own["device"]


def test_unknown_arguments_are_refused():
    assert command("nonsense").returncode == 2
    if not torch.cuda.is_available():
        done = command("ops", "--device", "cuda")
        assert done.returncode == 2
        assert "there is none" in done.stderr


def test_every_operator_has_a_case():
    assert set(ops.registered()) == set(DEFINITIONS)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_the_usual_formula_does_what_the_operator_does(name):
    """A rival that computes something else would prove nothing; random starts and hashes have the same shape."""
    case = ops.registered()[name]
    shape = (8, *case.shapes[case.quick][1:])
    arguments = SimpleNamespace(**case.arguments(Sizes(shape, CPU, torch.Generator().manual_seed(1))))
    assert set(ops.names_of(name)) == set(vars(arguments))
    theirs = None if case.eager is None else case.eager(arguments)
    ops.positional(name, DEFINITIONS[name][1])(arguments)
    if theirs is None:
        return
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    ours = getattr(arguments, case.result)
    assert theirs.shape == ours.shape
    if case.same:
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) & set(dir(public))))
def test_the_public_function_takes_the_arguments_of_a_case(name):
    """It runs, and does something."""
    case = ops.registered()[name]
    shape = (2, *case.shapes[case.quick][1:])
    arguments = SimpleNamespace(**case.arguments(Sizes(shape, CPU, torch.Generator().manual_seed(1))))
    before = getattr(arguments, case.result).clone()
    result = ops.by_name(name, getattr(public, name))(arguments)
    after = result if isinstance(result, torch.Tensor) else getattr(arguments, case.result)
    assert not torch.equal(before, after)


def test_options_of_one_element_are_passed_as_numbers():
    assert ops.as_number(torch.tensor([0.5])) == 0.5
    for other in (torch.tensor([1]), torch.tensor([0.5, 0.5]), 0.25):
        assert ops.as_number(other) is other


def test_a_missing_peer_is_a_row_that_says_so(monkeypatch):
    def missing(module):
        raise peers.MissingPeer(f"{module} does not import: not here")

    for module in (ops, sys.modules["benchmarks.ops.balls"], sys.modules["benchmarks.attacks.providers"]):
        monkeypatch.setattr(module, "load", missing, raising=False)
    options = Options(CPU, quick=True, only="linf_step")
    (measured,) = ops.run(options)
    found = {row.provider: row for row in measured}
    assert found["robustness"].error == "robustness.attack_steps does not import: not here"
    assert found["robustness"].p50_us is None
    assert found["eager"].error is None
    measured = attacks.measure("pgd", setting(), PROVIDERS["pgd"], timing.Budget(0.0, 1), "linear")
    assert {row.provider: row.error is None for row in measured} == {
        name: name.startswith("featlab") for name in PROVIDERS["pgd"]
    }
    assert all("does not import" in row.error for row in measured if row.error)


def test_load_says_why_a_module_is_missing():
    with pytest.raises(peers.MissingPeer, match="no_such_module does not import"):
        peers.load("no_such_module")


class Net(Linear):
    """The linear model in float32, as the peers want it."""

    def forward(self, images):
        return super().forward(images).float()


def setting(norm="linf", eps=0.1, steps=5):
    torch.manual_seed(0)
    model = Net(torch.randn(12), torch.tensor(0.0)).eval()
    images = 0.3 + 0.4 * torch.rand(16, 3, 2, 2)
    return Setting(model, images, model(images).argmax(dim=1), norm, eps, steps)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_levers_do_not_change_the_verdict(norm):
    given = setting(norm, eps=0.1 if norm == "linf" else 0.3)
    measured = attacks.measure("ladder pgd", given, LEVERS, timing.Budget(0.0, 1), "linear")
    assert [row.error for row in measured] == [None] * len(LEVERS)
    assert len({row.fooled for row in measured}) == 1
    assert 0 < measured[0].fooled < 1
    assert all(set(row.ratio) == {"default"} for row in measured if row.provider != "default")
    assert given.model.weight.requires_grad


def test_fooled_and_excess_are_judged_on_the_images():
    given = setting()
    assert fooled(given, given.images) == 0.0
    assert excess(given, given.images + 0.2) == pytest.approx(1.0, rel=1e-5)
    assert excess(given, given.images) == 0.0


def test_what_a_peer_leaves_behind_is_undone():
    given = setting()
    with as_found(given.model):
        given.model.train()
        given.model(given.images).sum().backward()
        given.model.weight.requires_grad_(False)
    assert not given.model.training
    assert given.model.weight.grad is None
    assert given.model.weight.requires_grad


def test_rounds_interleave_and_a_failure_stops_only_its_own():
    order = []

    def broken(argument):
        if argument == 2:
            raise RuntimeError("third set")

    calls = {"a": lambda argument: order.append(("a", argument)), "b": lambda _: order.append(("b", None)), "c": broken}
    results = timing.interleaved(
        calls, {"a": [0, 1], "b": [0], "c": [0, 1, 2]}, device=CPU, budget=timing.Budget(9.0, 4, 4)
    )
    assert [argument for name, argument in order if name == "a"] == [0, 1, 0, 1, 0]  # The first is not timed.
    assert {len(results[name].seconds) for name in "ab"} == {4}
    assert results["c"].error == "RuntimeError: third set"
    assert sorted(name for name, _ in order[2:4]) == ["a", "b"]


def test_the_roof_moves_what_it_says():
    for name, call in roof.calls(CPU).items():
        (four,) = roof.sets(1 << 20, 1, CPU)
        for value, tensor in enumerate(four):
            tensor.fill_(value)
        call(four)
        assert roof.moved(1 << 20) == sum(tensor.nbytes for tensor in four)
        if name in {"roof stream", "roof in place"}:
            assert torch.all(four[3] == (3 if name == "roof stream" else 6))


def row(**changes):
    first = Row(
        bench="attacks", name="pgd net", provider="featlab", p50_us=1000.0, fooled=0.5, note="wall; load 1.0",
        device="a machine", versions={"featlab": "0", "commit": "c", "torch": "2"}, date="2026-01-01T00:00:00",
    )  # fmt: skip
    return replace(first, **changes)


def test_ratios_say_how_many_times_faster():
    mine, rival, failed = row(), row(provider="slow", p50_us=2500.0), row(provider="none", p50_us=None, error="gone")
    assert mine.with_ratios([mine, rival, failed]).ratio == {"slow": 2.5}


def test_a_file_keeps_measurements_that_did_not_run(tmp_path):
    path = tmp_path / "rows.json"
    rows.write(path, [row(), row(name="other")])
    rows.write(path, [row(p50_us=7.0)])
    assert {each.name: each.p50_us for each in rows.read(path)} == {"pgd net": 7.0, "other": 1000.0}
    assert list(tmp_path.iterdir()) == [path]


def test_tables_show_speed_verdict_and_failure(tmp_path):
    rival, failed = row(provider="slow", p50_us=2500.0, fooled=0.25), row(provider="none", p50_us=None, error="gone")
    mine = row().with_ratios([rival, failed])
    rows.write(tmp_path / "a.json", [mine, rival, failed])
    text = tables.updated("before\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n", tmp_path)
    assert "| pgd net | 1 ms | 50.0% | 2.50x, 25.0% |  |" in text
    assert "- none: gone (1 measurements)" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    with pytest.raises(ValueError, match="markers"):
        tables.updated("no markers", tmp_path)


def test_the_terminal_shows_a_lever_beside_the_default_and_why_a_row_is_empty():
    default, failed = row(name="ladder pgd", provider="default"), row(name="ladder pgd", provider="none", p50_us=None)
    lever = replace(default, provider="slow", p50_us=2000.0)
    rows_of = [default, lever.with_ratios([default]), replace(failed, error="gone")]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tables.shown("Attacks", rows_of))
    lines = console.export_text().splitlines()
    assert next(line for line in lines if "slow" in line).count("0.50x as fast as default") == 1
    assert "as fast" not in next(line for line in lines if "  default" in line)
    assert any("gone" in line for line in lines)
    console.print(tables.shown("Attacks", []))
    assert "nothing matches --only" in console.export_text()


def test_the_readme_shows_the_committed_results():
    text = tables.README.read_text(encoding="utf-8")
    assert tables.updated(text, tables.RESULTS) == text, "run python -m benchmarks tables"
