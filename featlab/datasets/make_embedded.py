"""Make the embedded subset again from the full Fashion-MNIST: `python -m featlab.datasets.make_embedded FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from featlab.datasets.fashion_mini import write_embedded
from featlab.datasets.sources import get, open_fashion_mnist


def main(arguments: list[str]) -> int:
    """Write the pictures and `fashion-mini.json` into a folder; the full data are fetched if they are not there."""
    if len(arguments) != 1:
        print("usage: python -m featlab.datasets.make_embedded FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    get("fashion-mnist")
    write_embedded(open_fashion_mnist(train=True), open_fashion_mnist(train=False), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
