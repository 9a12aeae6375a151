"""A program for the test beside it: build a set in processes that are killed with SIGKILL, again and again.

Each line on stdout is how one process ended. The last one is not killed.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch

import featlab.files
from featlab.datasets.constructed import ConstructedWriter

SIZE = (1, 8, 8)
TOTAL, SHARD_ROWS = 79, 4


def build(path, *, pause=0.0):
    writer = ConstructedWriter(
        path,
        recipe={"steps": 7},
        provenance={"seed": 0},
        total=TOTAL,
        shape=SIZE,
        classes=("a", "b"),
        columns=["source_index"],
        shard_rows=SHARD_ROWS,
    )
    for rows in writer.pending():
        generator = torch.Generator().manual_seed(rows.start)
        images = torch.rand(len(rows), *SIZE, generator=generator)
        time.sleep(pause)
        writer.write(rows, images, torch.tensor(rows) % 2, columns={"source_index": torch.tensor(rows)})
    writer.finish()


def die_at(event, count):
    """Arrange to be killed at the count-th file: half-way through writing it, before it is named, or after."""
    save, replace = featlab.files.save_file, Path.replace
    files = iter(range(1, 1000))

    def die_at_count():
        if next(files) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    def half_save(tensors, path, metadata):
        save(tensors, path, metadata)
        whole = path.read_bytes()
        os.truncate(path, len(whole) // 2)
        die_at_count()
        path.write_bytes(whole)

    def early_replace(self, target):
        die_at_count()
        return replace(self, target)

    def late_replace(self, target):
        result = replace(self, target)
        die_at_count()
        return result

    if event == "half":
        featlab.files.save_file = half_save
    else:
        Path.replace = {"before": early_replace, "after": late_replace}[event]


def in_process(work, *, kill_after=None):
    """Run work in a process of its own; return how it ended."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}", flush=True)


def killed_at(path, event, count):
    die_at(event, count)
    build(path)


def main(folder):
    in_process(lambda: build(folder / "whole"))
    for event in ("half", "before", "after"):
        for count in (1, 1, 2, 3):
            in_process(lambda event=event, count=count: killed_at(folder / "events", event, count))
    missing = -(-TOTAL // SHARD_ROWS) - len(list((folder / "events").glob("shard-*")))
    in_process(lambda: killed_at(folder / "events", "before", missing + 1))  # All shards are there, the table is not.
    in_process(lambda: killed_at(folder / "events", "after", 1))
    in_process(lambda: build(folder / "events"))
    for number in range(8):
        in_process(lambda: build(folder / "clock", pause=0.02), kill_after=0.01 + 0.02 * number)
    in_process(lambda: build(folder / "clock"))


if __name__ == "__main__":
    torch.set_num_threads(1)  # The processes are forked.
    main(Path(sys.argv[1]))
