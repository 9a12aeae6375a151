"""A studio without a server: its application, and a client that knows the token."""

import pytest
import torch

import featlab as fl
from featlab.studio import Api, Catalog, Limits

from studio_cases import ROBUST, STANDARD, Studio


@pytest.fixture(scope="session")
def models():
    torch.set_num_threads(1)
    return {name: fl.load(name, device="cpu") for name in (ROBUST, STANDARD)}


@pytest.fixture(scope="session")
def studio_of():
    """Make a studio of some models, with other limits."""
    return lambda models, **limits: Studio(Api.of(Catalog.of(models, limits=Limits(**limits))))


@pytest.fixture
def studio(studio_of, models):
    """Make a studio of the two nets that come with featlab, with other limits."""
    return lambda **limits: studio_of(models, **limits)
