"""Data: sources with mirrors and checksums, the embedded subset, constructed sets and their on-disk format."""

from featlab.datasets.catalog import load_data, open_data
from featlab.datasets.dataset import Dataset

__all__ = ["Dataset", "load_data", "open_data"]
