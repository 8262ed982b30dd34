"""The kept OpenAPI documents are those that the services generate."""

import pytest

from tests.contract.openapi import document, path_of
from tests.contract.parts import SERVICES


@pytest.mark.parametrize("part", SERVICES)
def test_the_kept_document_is_the_generated_one(part: str) -> None:
    assert path_of(part).read_bytes() == document(part), (
        "run `make contracts` and review what changed"
    )
