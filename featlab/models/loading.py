"""Models by one line of text: zoo:NAME, get:NAME, file:PATH, torchvision:NAME, timm:NAME, ... (see `load`)."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import nn

from featlab.freezing import frozen
from featlab.models.architecture import Architecture
from featlab.models.building import build_net
from featlab.models.checkpoints import weights_of
from featlab.models.classifier import Classifier
from featlab.models.files import load_file, read_card, zoo_file
from featlab.models.madrylab import load_madrylab
from featlab.models.optional import (
    Expectations,
    class_names,
    timm_expects,
    torchvision_arguments,
    torchvision_expects,
    torchvision_weights,
)
from featlab.models.published import fetched_file
from featlab.names import lookup

Options = Mapping[str, str]


@dataclass(frozen=True)
class Spec:
    """A model's line of text in parts: scheme:target?option=value&..."""

    scheme: str
    target: str
    options: Options

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read a spec; a bare path of a .safetensors file is file:PATH, and FILE.py:NAME is a factory."""
        place, _, query = text.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        scheme, colon, target = place.partition(":")
        if ".py:" in place and scheme not in SCHEMES:
            scheme, target = "factory", place
        elif place.endswith(".safetensors") and scheme not in SCHEMES:
            scheme, target = "file", place
        elif not colon:
            raise ValueError(
                f"a model is zoo:NAME, get:NAME, FILE.safetensors, torchvision:NAME, timm:NAME, robustness:PATH or "
                f"FILE.py:FACTORY; got {text!r}"
            )
        reader = lookup("the scheme of a model", scheme, SCHEMES)
        for name in options:
            lookup(f"an option of {scheme}:", name, dict.fromkeys(reader.options))
        if not target:
            raise ValueError(f"{text!r} names no model after {scheme}:")
        return cls(scheme, target, options)


def load(
    spec: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    shape: Sequence[int] | None = None,
) -> Classifier:
    """Load a classifier, in evaluation mode.

    zoo:NAME                    one of featlab's own
    get:NAME                    a pretrained one that `featlab models get NAME` fetched; ?root=FOLDER
    file:PATH, PATH.safetensors what `save` wrote
    torchvision:NAME            ?weights=FILE or a name of torchvision's (DEFAULT; torchvision fetches it); ?classes=10
    timm:NAME                   ?weights=FILE; ?classes=10
    robustness:PATH             a checkpoint of MadryLab robustness; ?arch=resnet50&data=cifar10 where it is unclear
    FILE.py:FACTORY             runs FILE and calls FACTORY(), which returns a Classifier, or any nn.Module that takes
                                images in [0, 1] (mean 0, std 1); ?shape=3,32,32 says which

    Without weights, torchvision's and timm's nets are random. `device` is "auto" (CUDA where there is one), "cpu",
    "cuda:0", ...; `dtype` converts the weights (float32 is what half-precision files become); `shape` overrides the
    shape of one image. Whatever cannot be loaded is a ValueError or a FileNotFoundError of one sentence.
    """
    parts = Spec.parse(str(spec))
    target = pick_device(device)
    if shape is None and "shape" in parts.options:
        shape = parse_shape(parts.options["shape"])
    classifier = SCHEMES[parts.scheme].read(parts.target, parts.options, shape)
    if shape is not None and classifier.shape != tuple(shape):
        classifier = classifier.with_shape(shape)
    return classifier.to(device=target, dtype=dtype).eval()


def card(spec: str | Path) -> dict[str, Any]:
    """Return the record of a zoo classifier, a fetched one or a file: architecture, classes, sha256, card and so on."""
    parts = Spec.parse(str(spec))
    if parts.scheme not in CARDED:
        raise ValueError(f"only zoo:NAME, get:NAME and file:PATH have cards; got {str(spec)!r}")
    return read_card(CARDED[parts.scheme](parts.target, parts.options))


def pick_device(name: str | torch.device) -> torch.device:
    """Return the device of this name; "auto" is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N; got {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name} here ({torch.cuda.device_count()} CUDA devices); use cpu or auto")
    return device


def parse_shape(text: str) -> tuple[int, ...]:
    """Read "3,32,32"."""
    try:
        shape = tuple(int(side) for side in text.replace("x", ",").split(","))
    except ValueError as error:
        raise ValueError(f"a shape is written 3,32,32; got {text!r}") from error
    if min(shape) < 1:
        raise ValueError(f"every side of a shape is at least 1; got {text!r}")
    return shape


def parse_count(options: Options) -> int | None:
    """Read the option classes=N."""
    text = options.get("classes")
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"classes must be a number of classes; got {text!r}")
    return int(text)


def from_zoo(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load zoo:NAME."""
    del options, shape
    return load_file(zoo_file(target))


def from_get(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load get:NAME."""
    del shape
    return load_file(fetched(target, options))


def fetched(target: str, options: Options) -> Path:
    """Return the file of get:NAME."""
    return fetched_file(target, root=Path(options["root"]) if "root" in options else None)


def from_file(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load file:PATH."""
    del options, shape
    path = Path(target)
    if path.suffix in (".pt", ".pth", ".ckpt", ".tar"):
        raise ValueError(f"file: reads .safetensors; for a checkpoint of robustness write robustness:{target}")
    return load_file(path)


def from_robustness(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load robustness:PATH."""
    del shape
    return load_madrylab(Path(target), arch=options.get("arch"), data=options.get("data"))


def from_torchvision(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load torchvision:NAME."""
    del shape
    choice = options.get("weights", "DEFAULT")
    file = Path(choice)
    published = "weights" in options and not (file.suffix or file.exists())
    entry = torchvision_weights(target, choice if published else "DEFAULT")
    count = parse_count(options)
    arguments = {"classes": count or 1000} | torchvision_arguments(target, entry, published=published)
    architecture = Architecture(f"torchvision:{target}", arguments)
    net = build_net(architecture)
    if published:  # The weights that torchvision names and fetches itself, checked against the hash in their name.
        load_weights(net, entry.get_state_dict(progress=False, check_hash=True, weights_only=True), choice)
    elif "weights" in options:
        load_weights(net, weights_of(file), choice)
    return wrap(net, torchvision_expects(entry, classes=count), architecture)


def from_timm(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load timm:NAME."""
    del shape
    count = parse_count(options)
    architecture = Architecture(f"timm:{target}", {"classes": count or 1000})
    net = build_net(architecture)
    if "weights" in options:
        load_weights(net, weights_of(Path(options["weights"])), options["weights"])
    return wrap(net, timm_expects(net, classes=count or 1000), architecture)


def load_weights(net: nn.Module, state: Mapping[str, Any], source: str) -> None:
    """Load weights, all of them."""
    try:
        net.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ValueError(f"the weights of {source} do not fit {type(net).__name__}: {error}") from error


def wrap(net: nn.Module, expected: Expectations, architecture: Architecture) -> Classifier:
    """Return the classifier of a net of another package."""
    return Classifier(
        net,
        mean=expected.mean,
        std=expected.std,
        classes=expected.classes,
        shape=expected.shape,
        name=architecture.name,
        architecture=architecture,
    )


def from_factory(target: str, options: Options, shape: Sequence[int] | None) -> Classifier:
    """Load FILE.py:FACTORY."""
    place, _, name = target.rpartition(":")
    made = factory(Path(place), name)()
    if isinstance(made, Classifier):
        return made
    if not isinstance(made, nn.Module):
        raise ValueError(f"{target} must return a Classifier or an nn.Module; got {type(made).__name__}")
    if shape is None:
        raise ValueError(f"{target} returns a plain net, so say what it takes: {target}?shape=3,32,32")
    count = parse_count(options) or count_logits(made, shape)
    return Classifier(made, mean=0.0, std=1.0, classes=class_names((), count), shape=shape, name=name)


def factory(path: Path, name: str) -> Callable[[], object]:
    """Run a Python file that the user named and return its function `name`."""
    module = run_file(path)
    public = {each: value for each, value in vars(module).items() if callable(value) and not each.startswith("__")}
    made: Callable[[], object] = lookup(f"the factory in {path}", name, public)
    return made


def run_file(path: Path) -> ModuleType:
    """Return the module in a Python file."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    title = f"featlab_model_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(title, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[title] = module  # Dataclasses and pickling look their module up there.
    try:
        found.loader.exec_module(module)
    except Exception as error:  # Another's code may fail in any way; the sentence names the file.
        del sys.modules[title]
        raise ValueError(f"{path} could not be run: {type(error).__name__}: {error}") from error
    return module


def count_logits(net: nn.Module, shape: Sequence[int]) -> int:
    """Return the number of logits that a net gives for one image."""
    first = next(net.parameters(), torch.zeros(()))
    try:
        with frozen(net), torch.no_grad():
            outputs = net(torch.zeros((1, *shape), device=first.device, dtype=first.dtype))
    except RuntimeError as error:
        raise ValueError(f"the net does not take images of shape {tuple(shape)}: {error}") from error
    logits = getattr(outputs, "logits", outputs)
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
        raise ValueError(f"the net must answer with (batch, classes) logits; got {type(logits).__name__}")
    return int(logits.shape[1])


@dataclass(frozen=True)
class Scheme:
    """How one kind of spec is read, and the options that it takes."""

    read: Callable[[str, Options, Sequence[int] | None], Classifier]
    options: tuple[str, ...]


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "zoo": Scheme(from_zoo, ("shape",)),
        "get": Scheme(from_get, ("root", "shape")),
        "file": Scheme(from_file, ("shape",)),
        "torchvision": Scheme(from_torchvision, ("weights", "classes", "shape")),
        "timm": Scheme(from_timm, ("weights", "classes", "shape")),
        "robustness": Scheme(from_robustness, ("arch", "data", "shape")),
        "factory": Scheme(from_factory, ("classes", "shape")),
    }
)

CARDED: Mapping[str, Callable[[str, Options], Path]] = MappingProxyType(
    {"zoo": lambda target, _: zoo_file(target), "get": fetched, "file": lambda target, _: Path(target)}
)
"""The schemes whose models are files with a card, and which file a spec means."""
