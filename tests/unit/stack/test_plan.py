"""Which processes there are, and what each is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stack.certificates import issue
from stack.settings import StackSettings
from stack.supervisor.plan import PROGRAMS, Places, ProcessPlan, plan


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    directory = tmp_path_factory.mktemp("places")
    certificates = issue(directory / "tls", PROGRAMS.parts, datetime.now(UTC))
    return Places(directory, certificates, "127.0.0.1:9092")


def planned(
    places: Places, overrides: dict[str, dict[str, str]] | None = None, gateways: int = 2
) -> dict[str, ProcessPlan]:
    def address(name: str) -> str:
        return f"address of {name}"

    made = plan(places, PROGRAMS, address, gateways=gateways, overrides=overrides or {})
    return {each.name: each for each in made}


def test_every_role_of_every_part_and_each_slot_is_a_process(places: Places) -> None:
    assert sorted(planned(places)) == [
        "audit-api",
        "audit-write",
        "catalog-api",
        "catalog-relay",
        "gateway-slot-0",
        "gateway-slot-1",
        "identity-api",
        "identity-relay",
        "sharing-api",
        "sharing-consume",
        "sharing-relay",
        "transfer-api",
        "transfer-relay",
        "transfer-work",
    ]


def test_slots_of_a_gateway_share_its_port_and_nothing_else(places: Places) -> None:
    slots = [each for each in planned(places, gateways=3).values() if each.part == "gateway"]

    assert {each.listen for each in slots} == {"address of gateway"}
    assert {each.environment["DATONG_SLOT"] for each in slots} == {"0", "1", "2"}
    assert len({each.health for each in slots}) == 3


def test_each_part_has_its_own_identity_and_database(places: Places) -> None:
    processes = planned(places)

    keys = {each.part: each.environment["DATONG_TLS_KEY_FILE"] for each in processes.values()}
    databases = {
        each.part: each.environment.get("DATONG_POSTGRES_URL_FILE") for each in processes.values()
    }

    assert len(set(keys.values())) == 6
    assert databases.pop("gateway") is None
    assert len(set(databases.values())) == 5


def test_only_the_log_writer_holds_the_key_of_the_log(places: Places) -> None:
    holders = [
        name for name, each in planned(places).items() if "DATONG_LOG_KEY_FILE" in each.environment
    ]

    assert holders == ["audit-write"]


def test_the_narrower_override_wins(places: Places) -> None:
    processes = planned(
        places,
        {
            "gateway-slot-1": {"DATONG_STALE_AFTER": "1"},
            "gateway": {"DATONG_STALE_AFTER": "2"},
            "*": {"DATONG_STALE_AFTER": "3"},
        },
    )

    assert processes["gateway-slot-1"].environment["DATONG_STALE_AFTER"] == "1"
    assert processes["gateway-slot-0"].environment["DATONG_STALE_AFTER"] == "2"
    assert processes["audit-api"].environment["DATONG_STALE_AFTER"] == "3"


def test_the_gateway_stops_first_and_relays_last(places: Places) -> None:
    ranks = {name: each.stop_rank for name, each in planned(places).items()}

    assert ranks["gateway-slot-0"] < ranks["identity-api"] < ranks["identity-relay"]
    assert ranks["audit-api"] < ranks["audit-write"]


def test_fixed_ports_follow_one_number() -> None:
    settings = StackSettings(stack_port=8440)

    assert settings.fixed_port("gateway") == 8440
    assert settings.fixed_port("kafka") == 8442
    assert settings.fixed_port("gateway-slot-0 health") is None
    assert StackSettings(stack_port=None).fixed_port("gateway") is None


def test_a_url_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://a:b@127.0.0.1/c\n")

    assert StackSettings(postgres_url_file=file).administrator_url == "postgresql://a:b@127.0.0.1/c"


def test_segments_lie_in_a_folder_of_their_own(places: Places) -> None:
    folders = {
        each.environment["DATONG_OBJECT_DIRECTORY"]
        for each in planned(places).values()
        if each.part == "transfer"
    }

    assert folders == {str(places.directory / "transfer-objects")}
