"""Extractors: what a classifier computes on its way to an answer."""

from collections.abc import Iterable

from featlab import Entry, hookimpl


@hookimpl
def featlab_extractors() -> Iterable[Entry]:
    """Yield the layers of a model."""
    here = "featlab_plugins.extractors.layers"
    yield Entry("penultimate", f"{here}:penultimate", "what the last linear layer reads")
    yield Entry("logits", f"{here}:logits", "the class scores")
    yield Entry("layer", f"{here}:layer", "any layer or unit by its address, layer4.1:768@3,5")
