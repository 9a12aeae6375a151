"""The README tells the truth: its two commands come first, its code runs, its commands and options exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from featlab.cli import COMMANDS, group
from featlab.fetching import data_root

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [line.partition("#")[0].strip() for line in re.findall(r"^    (\S.*)$", README, re.M)]
"""The lines that are to be typed."""
TYPED = [line for line in (*SHELL, *re.findall(r"`(featlab [^`]*)`", README)) if line.startswith("featlab ")]


def test_the_two_commands_come_first():
    assert [line.split()[:2] for line in SHELL[:2]] == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo: ", makefile, re.M)
    assert re.search(r"^test: ", makefile, re.M)


@pytest.mark.slow
def test_the_code_runs(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "torch.Size([64, " in done.stdout
    assert re.search(r"^10 -", done.stdout, re.M)  # The last frame of the ascent, and its distance.


def has_data(words):
    name = words[words.index("--data") + 1] if "--data" in words else "fashion-mini"
    return name == "fashion-mini" or (data_root() / name).is_dir()


@pytest.mark.slow
def test_the_commands_of_tasks_run(tmp_path, monkeypatch):
    """With few steps, as what each finds is tested with the tasks; on data that are here (.ci/run fetches CIFAR-10)."""
    monkeypatch.chdir(tmp_path)
    ours = {name for name, (path, _) in COMMANDS.items() if path.startswith("featlab.cli.tasks:")}
    lines = [shlex.split(line)[1:] for line in SHELL if line.startswith("featlab ")]
    shown = [words for words in lines if words[0] in ours]
    assert {words[0] for words in shown} == ours - {"task"}
    for words in filter(has_data, shown):
        group.main([*words, "--steps", "2", "--device", "cpu"], standalone_mode=False)
        assert (tmp_path / words[words.index("--out") + 1] / f"{words[0]}.png").exists()


@pytest.mark.parametrize("line", TYPED)
def test_commands_and_options_exist(line):
    """Follow a line to its command; what stands in capitals or behind is its arguments."""
    command, words = group, shlex.split(line)[1:]
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_every_command_is_in_the_table():
    named = set(re.findall(r"featlab ([\w-]+)", README))
    assert set(COMMANDS) <= named
