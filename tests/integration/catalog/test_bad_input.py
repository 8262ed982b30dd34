"""What is wrong is refused with the right code and pointer, and changes nothing."""

from typing import Any

import pytest

from tests.integration.catalog.conftest import LAW, Catalogue, content, item

KEY = item("code", key=True, required=True)


@pytest.mark.parametrize(
    ("changed", "status", "code", "pointer"),
    [
        ({"items": [KEY, KEY]}, 422, "entry-invalid", "/items/1/name"),
        ({"items": [item("code")]}, 422, "entry-invalid", "/items"),
        ({"items": [item("code", key=True)]}, 422, "entry-invalid", "/items/0/required"),
        ({"items": []}, 422, "entry-invalid", "/items"),
        ({"items": [KEY] * 201}, 422, "body-invalid", "/items"),
        ({"items": [item("Code")]}, 422, "body-invalid", "/items/0/name"),
        ({"items": [item("code", type="money")]}, 422, "body-invalid", "/items/0/type"),
        ({"items": [KEY | {"key": "true"}]}, 422, "body-invalid", "/items/0/key"),
        ({"items": [KEY | {"more": 1}]}, 422, "body-invalid", "/items/0/more"),
        ({"items": "code"}, 422, "body-invalid", "/items"),
        ({"items": [KEY | {"max_length": 0}]}, 422, "body-invalid", "/items/0/max_length"),
        ({"items": [KEY | {"max_length": "6"}]}, 422, "body-invalid", "/items/0/max_length"),
        ({"items": [KEY | {"pattern": ""}]}, 422, "body-invalid", "/items/0/pattern"),
        ({"items": [KEY | {"pattern": "a" * 201}]}, 422, "body-invalid", "/items/0/pattern"),
        ({"items": [KEY | {"pattern": r"(a)\1"}]}, 422, "entry-invalid", "/items/0/pattern"),
        ({"items": [KEY | {"codes": []}]}, 422, "body-invalid", "/items/0/codes"),
        ({"items": [KEY | {"codes": ["a", 5]}]}, 422, "body-invalid", "/items/0/codes/1"),
        ({"items": [KEY | {"codes": ["a", "a"]}]}, 422, "entry-invalid", "/items/0/codes/1"),
        ({"items": [KEY | {"minimum": "1"}]}, 422, "entry-invalid", "/items/0/minimum"),
        ({"items": [KEY | {"minimum": 1}]}, 422, "body-invalid", "/items/0/minimum"),
        (
            {"items": [KEY, item("level", type="integer", minimum="5", maximum="1")]},
            422,
            "entry-invalid",
            "/items/1/maximum",
        ),
        ({"modes": ["query", "query"]}, 422, "entry-invalid", "/modes/1"),
        ({"share_class": "not_shared"}, 422, "legal-basis-required", "/legal_basis"),
        ({"legal_basis": LAW}, 422, "entry-invalid", "/legal_basis"),
        (
            {"share_class": "not_shared", "legal_basis": LAW | {"kind": "department_rule"}},
            422,
            "body-invalid",
            "/legal_basis/kind",
        ),
        ({"share_class": "conditional"}, 422, "entry-invalid", "/share_conditions"),
        ({"share_conditions": "Ask."}, 422, "entry-invalid", "/share_conditions"),
        ({"modes": []}, 422, "entry-invalid", "/modes"),
        ({"modes": ["telepathy"]}, 422, "body-invalid", "/modes/0"),
        ({"resource": "No Path"}, 422, "body-invalid", "/resource"),
        ({"name": 7}, 422, "body-invalid", "/name"),
        ({"name": "a\u0000b"}, 422, "body-invalid", "/name"),
        ({"data_grade": None}, 422, "body-invalid", "/data_grade"),
    ],
)
async def test_an_entry_that_is_wrong_is_refused_with_a_pointer(
    catalogue: Catalogue, changed: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    refused = await catalogue.call(catalogue.registrar, "POST", "/entries", content(**changed))

    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["code"] == code
    assert problem["errors"][0]["pointer"] == pointer
    assert await catalogue.outbox("catalog.change.v1") == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a", "name": "b"}',
        b'{"name": NaN}',
        b"{",
        b"",
        b'\xef\xbb\xbf{"name": "a"}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b"[" * 100_000,
    ],
)
async def test_a_body_that_is_not_strict_json_is_malformed(
    catalogue: Catalogue, body: bytes
) -> None:
    headers = catalogue.town.headers(catalogue.registrar, **{"Content-Type": "application/json"})

    refused = await catalogue.client.post("/catalog/v1/entries", headers=headers, content=body)

    assert refused.status_code in (400, 422)
    assert refused.json()["code"] in ("body-malformed", "body-invalid")


async def test_a_resource_id_is_taken_once(catalogue: Catalogue) -> None:
    await catalogue.create()

    refused = await catalogue.call(catalogue.registrar, "POST", "/entries", content())

    assert refused.status_code == 409
    assert refused.json()["code"] == "resource-taken"
    assert refused.json()["errors"][0]["pointer"] == "/resource"


async def test_a_draft_is_replaced_only_from_its_present_revision(catalogue: Catalogue) -> None:
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}/draft"

    without = await catalogue.call(catalogue.registrar, "PUT", path, content())
    first = await catalogue.call(
        catalogue.registrar, "PUT", path, content(name="First"), If_Match='"1"'
    )
    stale = await catalogue.call(
        catalogue.registrar, "PUT", path, content(name="Second"), If_Match='"1"'
    )

    assert (without.status_code, without.json()["code"]) == (428, "precondition-required")
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    now = await catalogue.call(catalogue.registrar, "GET", f"/entries/{entry['id']}")
    assert now.json()["draft"]["name"] == "First"


async def test_the_resource_of_a_draft_changes_only_before_publication(
    catalogue: Catalogue,
) -> None:
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}"
    renamed = await catalogue.call(
        catalogue.registrar, "PUT", f"{path}/draft", content(resource="other"), If_Match='"1"'
    )
    assert renamed.json()["resource"] == "other"
    await catalogue.approve(entry["id"])
    begun = await catalogue.call(catalogue.registrar, "POST", f"{path}/drafts")

    refused = await catalogue.call(
        catalogue.registrar,
        "PUT",
        f"{path}/draft",
        content(resource="third"),
        If_Match=begun.headers["etag"],
    )

    assert refused.json()["code"] == "entry-state-conflict"
    assert refused.json()["errors"][0]["pointer"] == "/resource"


async def test_a_submitted_version_cannot_be_changed(catalogue: Catalogue) -> None:
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}"
    await catalogue.call(catalogue.registrar, "POST", f"{path}/submissions")

    refused = await catalogue.call(
        catalogue.registrar, "PUT", f"{path}/draft", content(), If_Match='"2"'
    )

    assert refused.json()["code"] == "entry-state-conflict"
    assert refused.json()["facts"] == {"state": "submitted", "version": 1}


async def test_other_agencies_see_and_change_no_drafts(catalogue: Catalogue) -> None:
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}"

    hidden = await catalogue.call(catalogue.stranger, "POST", f"{path}/submissions")
    await catalogue.approve(entry["id"])
    refused = await catalogue.call(catalogue.stranger, "POST", f"{path}/drafts")

    assert (hidden.status_code, hidden.json()["code"]) == (404, "entry-unknown")
    assert (refused.status_code, refused.json()["code"]) == (403, "other-agency")


@pytest.mark.parametrize("entry", ["01932e4c-a9f0-7d4e-8a3b-0c6f5e1d2b9a", "not-an-id", "%00", "ü"])
async def test_an_unknown_entry_is_refused(catalogue: Catalogue, entry: str) -> None:
    for method, path in [
        ("GET", f"/entries/{entry}"),
        ("GET", f"/entries/{entry}/versions/1"),
        ("POST", f"/entries/{entry}/submissions"),
    ]:
        refused = await catalogue.call(catalogue.registrar, method, path)
        assert refused.status_code in (404, 422)
        assert refused.json()["code"] in ("entry-unknown", "parameter-invalid")


async def test_only_the_roles_of_a_route_may_call_it(catalogue: Catalogue) -> None:
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}"

    for caller, method, route in [
        (catalogue.reviewer, "POST", "/entries"),
        (catalogue.system, "POST", "/entries"),
        (catalogue.reviewer, "POST", f"{path}/submissions"),
        (catalogue.registrar, "POST", f"{path}/approvals"),
        (catalogue.registrar, "POST", f"{path}/rejections"),
        (catalogue.registrar, "POST", f"{path}/withdrawals"),
    ]:
        refused = await catalogue.call(caller, method, route, content())
        assert refused.json()["code"] == "role-missing", route


async def test_a_service_takes_callers_from_the_gateway_only(catalogue: Catalogue) -> None:
    headers = catalogue.town.headers(catalogue.registrar)
    del headers["Datong-Internal-Certificate"]

    refused = await catalogue.client.get("/catalog/v1/entries", headers=headers)

    assert refused.json()["code"] == "certificate-missing"
