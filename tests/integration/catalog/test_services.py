"""An owner's own service in the catalogue: published, shown, refused, kept."""

from typing import Any

import pytest

from tests.integration.catalog.conftest import Catalogue, content
from tests.support.certificates import self_signed

CA = self_signed("Market regulator CA")
SERVICE = {
    "address": "https://register.market.gov.example:8443",
    "ca": CA,
    "operations": [
        {"name": "read-enterprise", "title": "按代码", "method": "GET", "path": "/e/{code}"},
        {"name": "find-enterprises", "title": "按名称", "method": "GET", "path": "/e"},
    ],
    "seconds": 5,
}
CALL = {"resource": "enterprise-register", "items": None, "modes": ["call"], "service": SERVICE}


def service(**changed: Any) -> dict[str, Any]:
    return SERVICE | changed


def operation(**changed: Any) -> dict[str, Any]:
    return SERVICE["operations"][0] | changed  # type: ignore[index, no-any-return]


async def test_a_service_is_published_and_its_state_says_where_it_is(catalogue: Catalogue) -> None:
    entry = await catalogue.publish(**CALL)

    assert entry["published"]["service"] == SERVICE
    assert entry["published"]["items"] == []
    [state] = await catalogue.outbox("catalog.entry.v1")
    assert state["data"]["service"] == SERVICE
    assert "service" in state["data"]["critical"]


async def test_others_see_what_may_be_asked_but_not_where(catalogue: Catalogue) -> None:
    entry = await catalogue.publish(**CALL)

    seen = await catalogue.call(catalogue.system, "GET", f"/entries/{entry['id']}")
    version = await catalogue.call(catalogue.stranger, "GET", f"/entries/{entry['id']}/versions/1")

    for shown in (seen.json()["published"]["service"], version.json()["service"]):
        assert shown == SERVICE | {"address": None, "ca": None}
    assert "market.gov.example" not in seen.text + version.text


async def test_the_next_version_begins_with_the_service_and_may_change_it(
    catalogue: Catalogue,
) -> None:
    entry = await catalogue.publish(**CALL)
    path = f"/entries/{entry['id']}"
    begun = await catalogue.call(catalogue.registrar, "POST", f"{path}/drafts")
    assert begun.json()["draft"]["service"] == SERVICE
    moved = content(**CALL | {"service": service(ca=None, seconds=60)})

    answer = await catalogue.call(
        catalogue.registrar, "PUT", f"{path}/draft", moved, If_Match=begun.headers["etag"]
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["draft"]["service"] == SERVICE | {"ca": None, "seconds": 60}


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"service": None}, "entry-invalid", "/service"),
        ({"modes": ["call", "query"]}, "entry-invalid", "/modes"),
        ({"modes": ["query"]}, "entry-invalid", "/modes"),
        ({"service": service(address="http://a.example:80")}, "entry-invalid", "/service/address"),
        ({"service": service(address="https://a.example")}, "entry-invalid", "/service/address"),
        ({"service": service(address="https://10.0.0.8:443")}, "entry-invalid", "/service/address"),
        ({"service": service(address="https://localhost:1")}, "entry-invalid", "/service/address"),
        ({"service": service(address="https://[::1]:443")}, "entry-invalid", "/service/address"),
        (
            {"service": service(address="https://169.254.169.254:443")},
            "entry-invalid",
            "/service/address",
        ),
        ({"service": service(address=7)}, "body-invalid", "/service/address"),
        ({"service": service(ca="PEM")}, "entry-invalid", "/service/ca"),
        ({"service": service(operations=[])}, "body-invalid", "/service/operations"),
        (
            {"service": service(operations=[operation(), operation(name="other-one")])},
            "entry-invalid",
            "/service/operations/1/path",
        ),
        (
            {"service": service(operations=[operation(), operation(path="/other")])},
            "entry-invalid",
            "/service/operations/1/name",
        ),
        (
            {"service": service(operations=[operation(name="Read It")])},
            "body-invalid",
            "/service/operations/0/name",
        ),
        (
            {"service": service(operations=[operation(method="HEAD")])},
            "body-invalid",
            "/service/operations/0/method",
        ),
        (
            {"service": service(operations=[operation(path="/a/../b")])},
            "entry-invalid",
            "/service/operations/0/path",
        ),
        ({"service": service(seconds=0)}, "body-invalid", "/service/seconds"),
        ({"service": service(seconds="5")}, "body-invalid", "/service/seconds"),
        ({"service": service(more=1)}, "body-invalid", "/service/more"),
        ({"service": "https://a.example:443"}, "body-invalid", "/service"),
    ],
)
async def test_a_service_that_is_wrong_is_refused_with_a_pointer(
    catalogue: Catalogue, changed: dict[str, Any], code: str, pointer: str
) -> None:
    refused = await catalogue.call(
        catalogue.registrar, "POST", "/entries", content(**CALL | changed)
    )

    assert refused.status_code == 422, refused.text
    problem = refused.json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer)
    assert await catalogue.outbox("catalog.change.v1") == []
