"""The studio: a page, served from this machine alone, on which one paints with what a classifier knows."""

from featlab.studio.api import Api
from featlab.studio.app import application
from featlab.studio.catalog import Catalog
from featlab.studio.limits import Limits
from featlab.studio.server import listening, serve

__all__ = ["Api", "Catalog", "Limits", "application", "listening", "serve"]
