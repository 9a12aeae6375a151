"""Data by name: `fashion-mini`, `cifar10`, `folder:PATH?size=64`, `npz:PATH`, `constructed:PATH`, or a plugin's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl

from featlab.datasets.constructed import open_constructed
from featlab.datasets.dataset import Dataset
from featlab.datasets.layout import INDEX
from featlab.datasets.local import open_folder, open_npz
from featlab.names import lookup
from featlab.plugins import registry
from featlab.types import Images, Labels


class Opener(Protocol):
    """What a data set's name stands for; plugins provide the same."""

    def __call__(self, *, train: bool, root: Path | None = None) -> Dataset:
        """Return the training or the test part; `root` is where fetched data live."""
        ...


PLACES: Final = {
    "folder": "folder:PATH, one folder of pictures per class; ?size=64 scales and crops, ?channels=1 makes grey",
    "npz": "npz:PATH, arrays images and labels (or x and y)",
    "constructed": "constructed:PATH, a constructed data set",
}


def named() -> dict[str, Opener]:
    """Return what opens each named data set, featlab's own and other plugins'; nothing is imported before its use."""
    return {name: partial(_open_entry, name) for name in registry().names("datasets")}


def _open_entry(name: str, *, train: bool, root: Path | None = None) -> Dataset:
    data: Dataset = registry().resolve("datasets", name)(train=train, root=root)
    return data


def open_data(
    name: str,
    *,
    train: bool,
    root: Path | None = None,
    count: int | None = None,
) -> Dataset:
    """Return a data set by name, its images read by rows; with `count`, that many spread evenly over the classes.

    Names are those of the plugins (featlab's own are one), `folder:PATH`, `npz:PATH`, `constructed:PATH`, and the
    path of a constructed set. A source without parts is the same for training and test; its `split` is "all".
    Raises ValueError for an unknown name or bad data, FileNotFoundError for what is not there.
    """
    data = _open(name, train=train, root=root)
    return data if count is None else data.subset(count)


def load_data(
    name: str,
    *,
    train: bool,
    count: int | None = None,
    root: Path | None = None,
) -> tuple[Images, Labels]:
    """Return the images (float32 in [0, 1]) and the labels of a data set, all in memory; `open_data` reads by rows."""
    return open_data(name, train=train, root=root, count=count).tensors()


def _open(name: str, *, train: bool, root: Path | None) -> Dataset:
    place, colon, rest = name.partition(":")
    if colon and place in PLACES:
        return _open_place(place, rest, train=train)
    known = named()
    if name not in known and (Path(name) / INDEX).is_file():
        return open_constructed(Path(name))
    places: dict[str, Opener] = {f"{place}:PATH": _no_path for place in PLACES}
    return lookup("data", name, {**known, **places})(train=train, root=root)


def _open_place(place: str, rest: str, *, train: bool) -> Dataset:
    path, _, query = rest.partition("?")
    if not path:
        raise ValueError(f"{place}: needs a path after the colon")
    if place == "folder":
        options = _numbers(query, known=("size", "channels"))
        return open_folder(Path(path), train=train, size=options.get("size"), channels=options.get("channels", 3))
    openers: dict[str, Callable[[], Dataset]] = {
        "npz": lambda: open_npz(Path(rest), train=train),
        "constructed": lambda: open_constructed(Path(rest)),
    }
    return openers[place]()


def _numbers(query: str, *, known: tuple[str, ...]) -> dict[str, int]:
    options: dict[str, int] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        lookup("a folder's option", key, dict.fromkeys(known))
        if not value.isdecimal():
            raise ValueError(f"{key} must be a whole number, as in {key}=64; got {value!r}")
        options[key] = int(value)
    return options


def _no_path(*, train: bool, root: Path | None = None) -> Dataset:
    del train, root
    raise ValueError("put the path of your data in place of PATH")
