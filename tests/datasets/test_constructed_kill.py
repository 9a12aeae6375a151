"""A build that is killed with SIGKILL at any moment goes on, and ends in the same files."""

import os
import subprocess
import sys
from pathlib import Path

from featlab.datasets.constructed import open_constructed


def test_killed_builds_end_in_the_same_files(tmp_path):
    program = Path(__file__).with_name("build_killed.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    ends = done.stdout.split("\n")[:-1]
    assert ends[0] == ends[15] == ends[-1] == "exit 0", done
    assert ends[1:15] == ["killed"] * 14
    assert ends[16:-1].count("killed") >= 1
    whole, events, clock = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("whole", "events", "clock")
    )
    assert events == whole
    assert clock == whole
    assert len(whole) == 21
    assert len(open_constructed(tmp_path / "clock")) == 79
