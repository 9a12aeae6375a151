"""The two ways to run an operator."""

import pytest

from featlab.ops import native


@pytest.fixture(params=["native", "reference"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with the kernels and with their definitions."""
    if request.param == "reference":
        monkeypatch.setattr("featlab.ops.native.is_native", lambda *_: False)
    elif not native.LIBRARIES["cpu"].loaded:
        if native.mode() == "require":
            pytest.fail(f"FEATLAB_EXT=require: {native.LIBRARIES['cpu'].reason}")
        pytest.skip(f"no kernels: {native.LIBRARIES['cpu'].reason}")
    return str(request.param)
