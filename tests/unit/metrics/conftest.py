"""Both ways in which the metrics are computed."""

from __future__ import annotations

import pytest

from bandweave.metrics import compilation


@pytest.fixture
def by_passes(monkeypatch):
    """Compute as where numba is absent."""
    monkeypatch.setattr(compilation, "is_compiled", lambda: False)


@pytest.fixture(params=["compiled", "by passes"])
def either_way(request):
    """Run a test with machine code, and with NumPy alone."""
    if request.param == "by passes":
        request.getfixturevalue("by_passes")
    elif not compilation.is_compiled():
        pytest.skip("numba is absent (extra fast)")
