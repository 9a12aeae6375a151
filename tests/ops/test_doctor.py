"""`featlab doctor` says what serves each operator."""

import json

import pytest
from click.testing import CliRunner

from featlab.cli.doctor import doctor
from featlab.ops import native
from featlab.ops.schema import DEFINITIONS


def test_json_is_one_object() -> None:
    result = CliRunner().invoke(doctor, ["--json"])
    facts = json.loads(result.stdout)
    assert set(facts["ops"]) == set(DEFINITIONS)
    assert facts["system"]["torch"]
    native_cpu = native.LIBRARIES["cpu"].loaded
    assert {served["cpu"] == "native" for served in facts["ops"].values()} == {native_cpu}
    assert result.exit_code == (0 if facts["ok"] else 1)


def test_the_tables_name_every_operator() -> None:
    result = CliRunner().invoke(doctor)
    assert all(name in result.stdout for name in DEFINITIONS)


def test_a_demand_that_is_not_met_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = native.Library(device="cpu", file="_cpu.so", present=False, loaded=False, reason="It is a test.")
    monkeypatch.setitem(native.LIBRARIES, "cpu", missing)
    assert CliRunner().invoke(doctor, ["--json"], env={"FEATLAB_EXT": "1"}).exit_code == 0
    result = CliRunner().invoke(doctor, ["--json"], env={"FEATLAB_EXT": "require"})
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ops"]["l2_step"]["cpu"] == "It is a test."
    assert "FEATLAB_EXT=require is set" in result.stderr
