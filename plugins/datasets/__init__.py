"""Data sets by name."""

from collections.abc import Iterable

from featlab import Entry, hookimpl


@hookimpl
def featlab_datasets() -> Iterable[Entry]:
    """Yield the embedded subset, and the sources that `featlab data get` fetches."""
    own = "featlab.datasets"
    yield Entry(
        "fashion-mini",
        f"{own}.fashion_mini:open_fashion_mini",
        "embedded: 12,000 + 2,000 grey pictures of clothes, 1 x 28 x 28, 10 classes",
    )
    yield Entry(
        "fashion-mnist",
        f"{own}.sources:open_fashion_mnist",
        "60,000 + 10,000 grey pictures of clothes, 1 x 28 x 28, 10 classes",
    )
    yield Entry("cifar10", f"{own}.sources:open_cifar10", "50,000 + 10,000 colour photographs, 3 x 32 x 32, 10 classes")
    yield Entry(
        "imagenet-foolbox",
        f"{own}.sources:open_imagenet_foolbox",
        "20 photographs of ImageNet's classes, 3 x 224 x 224, 1000 classes",
    )
    yield Entry(
        "imagenet-photos",
        f"{own}.sources:open_imagenet_photos",
        "50 + 20 photographs of ImageNet's classes, 3 x 224 x 224, 1000 classes",
    )
