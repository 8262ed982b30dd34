"""The sample service of a department: codes by their rule, and who called."""

import json

import httpx
import pytest

from stack.owner_service.app import OPERATIONS, build_app
from stack.owner_service.codes import credit_code, is_credit_code
from stack.owner_service.register import Register
from tests.contract.parts import ROOT

VECTORS = json.loads((ROOT / "tests" / "vectors" / "codes.json").read_text("utf-8"))["uscc"]


@pytest.mark.parametrize("row", VECTORS["valid"])
def test_a_code_by_the_rule_is_one(row: dict[str, str]) -> None:
    code = row["code"]
    assert is_credit_code(code)
    assert credit_code(code[:2], code[2:8], code[8:16]) == code


@pytest.mark.parametrize("row", VECTORS["invalid"], ids=lambda row: row["reason"])
def test_a_code_against_the_rule_is_none(row: dict[str, str]) -> None:
    assert not is_credit_code(row["code"])


@pytest.mark.parametrize("row", VECTORS["policy"])
def test_both_check_characters_count(row: dict[str, str]) -> None:
    assert is_credit_code(row["code"]) is (row["strict"] == "accept")


def test_the_register_is_made_up_and_the_same_each_time() -> None:
    register = Register(500)
    assert len(register) == 500
    assert list(register) == list(Register(500))
    for enterprise in register:
        assert is_credit_code(enterprise.code)
        assert "样例" in enterprise.name
        assert register.get(enterprise.code) is enterprise


async def test_it_answers_and_prints_who_called(capsys: pytest.CaptureFixture[str]) -> None:
    register = Register(5000)
    transport = httpx.ASGITransport(build_app(register))
    client = httpx.AsyncClient(transport=transport, base_url="https://localhost")
    [first, *_] = register
    caller = {"Datong-Agency": "human-resources", "Datong-Purpose": "licence-check"}

    answer = await client.get(f"/enterprises/{first.code}", headers=caller)

    assert answer.json()["name"] == first.name
    said = json.loads(capsys.readouterr().out)
    assert (said["agency"], said["purpose"], said["status"]) == (
        "human-resources",
        "licence-check",
        200,
    )
    assert (await client.get(f"/enterprises/{first.code[:-1]}_")).status_code == 422
    nobody = credit_code("91", "330106", "TQ999999")
    assert (await client.get(f"/enterprises/{nobody}")).status_code == 404
    named = await client.get("/enterprises", params={"name": first.name[:4]})
    found = named.json()["enterprises"]
    assert 0 < len(found) <= 20
    assert first.name[:4] in found[0]["name"]
    lines = (await client.get("/exports/enterprises")).text.splitlines()
    assert len(lines) == len(register)
    assert sum(map(len, lines)) > 1 << 18, "an export is a large answer"


def test_its_operations_are_its_routes() -> None:
    app = build_app(Register(1))
    paths = {row["path"] for row in OPERATIONS}
    assert paths == set(app.openapi()["paths"])
