"""A CUDA device, or the reason why there is none."""

import pytest
import torch

from featlab.ops import native


@pytest.fixture
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} sees no CUDA device")
    library = native.LIBRARIES["cuda"]
    if not library.loaded:
        pytest.fail(f"there is a CUDA device, but its kernels are not loaded: {library.reason}")
    return torch.device("cuda")
