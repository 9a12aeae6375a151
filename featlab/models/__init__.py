"""Classifiers: nets that normalise by themselves and know their layers, and where they come from."""

from featlab.freezing import frozen
from featlab.models.architecture import Architecture
from featlab.models.building import architectures, build
from featlab.models.classifier import Classifier
from featlab.models.files import read_card, save, zoo
from featlab.models.layers import (
    Layer,
    LayerShape,
    Reading,
    find,
    head_of,
    layer_shapes,
    layers_of,
    penultimate,
    reading,
)
from featlab.models.loading import card, load, pick_device
from featlab.models.nets import small_cnn
from featlab.models.resnet import resnet18, resnet50
from featlab.models.where import Where

__all__ = [
    "Architecture",
    "Classifier",
    "Layer",
    "LayerShape",
    "Reading",
    "Where",
    "architectures",
    "build",
    "card",
    "find",
    "frozen",
    "head_of",
    "layer_shapes",
    "layers_of",
    "load",
    "penultimate",
    "pick_device",
    "read_card",
    "reading",
    "resnet18",
    "resnet50",
    "save",
    "small_cnn",
    "zoo",
]
