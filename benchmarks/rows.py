"""A row of the result: one provider of one measurement, with its conditions."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class Row:
    """One provider of one measurement; None where something does not apply.

    `bytes` is what must move at least, and `roof_fraction` that over the time, as a part of the bandwidth measured in
    the same rounds. `fooled` is the part of the images that the original float32 model gets wrong afterwards. `ratio`
    says how many times faster this row is than each rival. `found` is what a measurement of quality found, {value, low,
    high, n} with a 95 % interval. `note` says how it was measured, `error` why it was not.
    """

    bench: str
    name: str
    provider: str
    shape: str | None = None
    dtype: str | None = None
    p20_us: float | None = None
    p50_us: float | None = None
    p80_us: float | None = None
    bytes: int | None = None
    roof_fraction: float | None = None
    peak_bytes: int | None = None
    fooled: float | None = None
    ratio: Mapping[str, float] | None = None
    found: Mapping[str, float | int | None] | None = None
    device: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str | None = None
    note: str | None = None
    error: str | None = None

    def with_ratios(self, rows: Iterable[Row]) -> Row:
        """Return the row with how many times faster it is than each of `rows` of the same measurement."""
        if self.p50_us is None:
            return self
        rivals = (row for row in rows if row.provider != self.provider and row.p50_us is not None)
        return replace(self, ratio={row.provider: round(row.p50_us / self.p50_us, 3) for row in rivals})


KEYS = tuple(part.name for part in fields(Row))


@dataclass(frozen=True)
class Conditions:
    """What all rows of a run have in common."""

    device: str
    versions: Mapping[str, str]

    @staticmethod
    def here(device: torch.device) -> Conditions:
        """Return the conditions of this process."""
        versions = {name: version(name) for name in ("featlab", "torch", *PEERS)}
        versions |= {"python": platform.python_version(), "commit": commit()}
        if device.type == "cuda":
            versions |= {"cuda": str(torch.version.cuda), "driver": driver()}
            return Conditions(torch.cuda.get_device_name(device), versions)
        return Conditions(f"{cpu_name()}, {torch.get_num_threads()} threads", versions)

    def stamp(self, row: Row) -> Row:
        """Return the row with device, versions and date, and with the load of the machine noted."""
        load = f"load {os.getloadavg()[0]:.1f}"
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        note = f"{row.note}; {load}" if row.note else load
        return replace(row, device=self.device, versions=self.versions, date=now, note=note)


BENCHES = ("ops", "attacks", "train", "tasks")
PEERS = ("foolbox", "torchattacks", "adv-lib", "pyautoattack", "adversarial-robustness-toolbox", "robustness")


def version(name: str) -> str:
    """Return the version of an installed distribution, or `missing`."""
    try:
        return torch.__version__ if name == "torch" else metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def commit() -> str:
    """Return the commit that was measured, with a `+` where the tree was changed since."""
    root = Path(__file__).parent.parent
    ask = ["git", "-C", str(root), "describe", "--always", "--exclude", "*", "--dirty=+"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def driver() -> str:
    """Return the version of the NVIDIA driver."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def cpu_name() -> str:
    """Return the name that the processor gives itself."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read(path: Path) -> list[Row]:
    """Return the rows of a result file."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows to a result file in place of those of the same measurements; other measurements in the file stay."""
    measured = {(row.bench, row.name) for row in rows}
    kept = [row for row in read(path) if (row.bench, row.name) not in measured] if path.exists() else []
    ordered = sorted([*kept, *rows], key=lambda row: BENCHES.index(row.bench))
    lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in ordered)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    unfinished.replace(path)
