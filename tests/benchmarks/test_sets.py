"""The comparison of sets by one command: nets trained in each, a 4 x 3 table, a page."""

import json

from click.testing import CliRunner

from benchmarks.sets import NETS, SETS, main


def test_one_command_makes_the_table_and_makes_nothing_twice(tmp_path):
    less = ["--train-count", "100", "--epochs", "1", "--count", "20", "--suite", "quick"]
    done = CliRunner().invoke(main, ["--out", str(tmp_path), *less], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "comparison" / "run.json").read_text())
    found = run["result"]["models"]
    assert [row["model"] for row in found] == list(NETS)
    assert all(list(row["robust"]) == SETS.split() for row in found)
    assert [row["training"]["threat_model"] for row in found] == ["none", *SETS.split()]
    assert [row["training"]["passes"] for row in found] == [1, 5, 5, 5]
    assert "Which set of perturbations" in (tmp_path / "comparison" / "report.html").read_text()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "nets").iterdir()}
    table = tmp_path / "table.md"
    again = CliRunner().invoke(main, ["--out", str(tmp_path), "--table", str(table), *less], catch_exceptions=False)
    assert again.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "nets").iterdir()} == made
    lines = [line for line in table.read_text().splitlines() if line.startswith("| linf |")]
    own = found[1]["robust"]["linf:eps=0.1"]
    assert f"{100 * own['accuracy']:.1f} ({100 * own['low']:.1f} to {100 * own['high']:.1f})" in lines[0]
    assert "linf:eps=0.1 | 100 | 1 | 5" in lines[2]
