"""The table of formulas: all hold, none can hold by accident, and the command writes its page."""

import json
from dataclasses import replace

import pytest

from featlab.cli import main
from featlab.report import theory_page
from featlab.report.page import render
from featlab.theory import checks as module
from featlab.theory import gaussian
from featlab.theory.checks import Settings, checks
from featlab.theory.figures import figures

QUICK = Settings(dimension=200, samples=20_000)


@pytest.fixture(scope="module")
def found():
    return checks(QUICK)


def test_every_formula_holds(found):
    assert [check.claim for check in found if not check.holds] == []
    models = {check.model for check in found}
    assert {"Gaussian, theorem 1", "Gaussian, theorem 2", "Gaussian, theorem 3"} <= models
    assert len(models) == 6


def test_other_seeds_and_spectra_hold_too():
    for seed in (1, 2):
        other = checks(replace(QUICK, seed=seed, spectrum=(0.5, 4.0), p=0.8))
        assert all(check.holds for check in other)


@pytest.mark.parametrize("name", ["adversarial_excess", "robust_spectrum", "eps_of", "alignment"])
def test_a_wrong_formula_is_found_out(monkeypatch, name):
    right = getattr(gaussian, name)
    monkeypatch.setattr(module.gaussian, name, lambda *arguments: 1.05 * right(*arguments))
    assert not all(check.holds for check in checks(QUICK))


def test_tolerances_are_small(found):
    for check in found:
        if check.relation == "equals":
            assert check.tolerance <= max(0.06 * abs(check.exact), 0.02), check


def test_the_curves_say_what_the_theorems_say():
    shown = figures(QUICK)
    excess = dict(map(tuple, shown["excess"]))
    assert min(excess, key=excess.get) == 0.0
    for name, sign in (("condition", -1), ("cosine", 1)):
        values = [sign * value for _, value in shown["metric"][name]]
        assert values == sorted(values)
    cosines = [each["cosine"] for each in shown["ellipses"]]
    assert cosines == sorted(cosines)


def test_the_command_writes_a_page_and_goes_on(capsys, tmp_path):
    command = ["theory", "--dimension", "100", "--samples", "2000", "--out", str(tmp_path / "run")]
    for more in (["--json"], ["--json"]):
        with pytest.raises(SystemExit) as leave:
            main([*command, *more])
        assert leave.value.code == 0
        result = json.loads(capsys.readouterr().out)
        assert all(check["holds"] for check in result["checks"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{len(result['checks'])} of {len(result['checks'])}" in page
    result["checks"][0]["holds"] = False
    assert "FAILS" in render(theory_page(result))
    with pytest.raises(SystemExit) as leave:
        main(command)
    assert "holds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--spectrum", "1:-2"), "eigenvalues > 0"),
        (("--spectrum", "1:two"), "must be a number"),
        (("--p", "0.2"), "p in"),
        (("--samples", "3"), "100 samples"),
    ],
)
def test_bad_arguments_are_one_sentence(capsys, tmp_path, options, sentence):
    with pytest.raises(SystemExit) as leave:
        main(["theory", "--out", str(tmp_path / "run"), *options])
    said = capsys.readouterr().err
    assert leave.value.code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
