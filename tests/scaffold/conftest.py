"""An environment of its own, which sees what this one has, to install plugins into."""

import json
import os
import site
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

RUN = """
import contextlib, io, json, sys
from featlab.cli import main

answers = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            main([*command, "--json"])
        except SystemExit as leave:
            answers.append((leave.code, json.loads(said.getvalue() or "null")))
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment beside the one that the tests run in."""

    folder: Path

    @property
    def packages(self):
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder), "platbase": str(self.folder)}))

    def run(self, *arguments, status=0, **variables):
        """Run Python with these arguments, and return what it printed."""
        python = self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        settings = {**kept, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::UserWarning", **variables}
        command = [str(python), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings, cwd=self.folder)
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def featlab(self, *commands):
        """Run featlab commands one after another in one process; return each one's exit status and JSON."""
        typed = [list(map(str, command)) for command in commands]
        return json.loads(self.run("-c", RUN, json.dumps(typed)).splitlines()[-1])

    def install(self, *folders):
        """Install without the network, as `pip install FOLDER --no-build-isolation` does where all is there."""
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
        self.run("-m", "pip", "install", *options, *folders, PYTHONWARNINGS="default")

    def remove(self, *names):
        self.run("-m", "pip", "uninstall", "--quiet", "--yes", *names, PYTHONWARNINGS="default")

    def files(self):
        return sorted(str(path) for path in self.packages.rglob("*") if "__pycache__" not in path.parts)


@pytest.fixture
def environment(tmp_path):
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    made = Environment(folder)
    shared = [path for path in site.getsitepackages() if Path(path).is_dir()]
    line = "; ".join(["import site", *(f"site.addsitedir({path!r})" for path in shared)])
    (made.packages / "shared.pth").write_text(line + "\n")
    return made
