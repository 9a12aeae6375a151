"""Extractors: what a classifier computes on its way to an answer."""

from collections.abc import Iterable

from featlab import Entry, hookimpl


@hookimpl
def featlab_extractors() -> Iterable[Entry]:
    """Yield the layers of a model, and features that are made from them, from the image or from a data set."""
    here = "featlab_plugins.extractors"
    yield Entry("penultimate", f"{here}.layers:penultimate", "what the last linear layer reads")
    yield Entry("logits", f"{here}.layers:logits", "the class scores")
    yield Entry("layer", f"{here}.layers:layer", "any layer or unit by its address, layer4.1:768@3,5")
    yield Entry("principal", f"{here}.learned:principal", "the principal directions of a layer over a data set")
    yield Entry("kernel", f"{here}.learned:kernel", "features of the tangent kernel (Tsilivis and Kempe 2022)")
    yield Entry("dictionary", f"{here}.learned:dictionary", "codes of a layer under a sparse dictionary")
    yield Entry("bands", f"{here}.images:bands", "how strong each band of spatial frequency is in the image")
    yield Entry("random", f"{here}.images:random_features", "random ReLU features of the image (Rahimi and Recht 2007)")
