"""Every test of manifests holds for the base and for each overlay."""

from collections.abc import Sequence

import pytest

from k8s.render import OVERLAYS
from tests.k8s.manifests import Manifest, rendered


@pytest.fixture(params=OVERLAYS)
def folder(request: pytest.FixtureRequest) -> str:
    """A folder below `k8s/`."""
    return str(request.param)


@pytest.fixture
def manifests(folder: str) -> Sequence[Manifest]:
    """What kustomize makes of it."""
    return rendered(folder)
