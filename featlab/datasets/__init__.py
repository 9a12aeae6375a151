"""Data: sources with mirrors and checksums, the embedded subset, constructed sets and their on-disk format."""

from featlab.datasets.catalog import Opener, load_data, open_data
from featlab.datasets.constructed import ConstructedWriter, open_constructed
from featlab.datasets.dataset import Dataset
from featlab.datasets.madry import export_constructed, import_constructed
from featlab.datasets.seeds import ClassSeeds, fit_seeds
from featlab.datasets.sources import get

__all__ = [
    "ClassSeeds",
    "ConstructedWriter",
    "Dataset",
    "Opener",
    "export_constructed",
    "fit_seeds",
    "get",
    "import_constructed",
    "load_data",
    "open_constructed",
    "open_data",
]
