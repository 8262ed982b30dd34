"""Every connection and every right on the bus is one that authority.yaml states, and none lacks."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from k8s.generate import FOLDER as GENERATED
from k8s.generate import FOLLOWERS, PUBLIC, WITH_DATABASE, WITH_RELAY, documents, read_authority
from kit.addresses import is_public
from kit.settings import DatabaseSettings
from kit.topics import TOPICS
from stack.supervisor.plan import PROGRAMS
from tests.k8s.manifests import PART, Manifest, labels_of, of_kind, rendered, workloads
from tests.k8s.network import End, connects, policies, ports_named
from tests.k8s.settings import settings_classes

AUTHORITY = read_authority()
KAFKA = End("kafka", {"strimzi.io/cluster": "kafka", "strimzi.io/broker-role": "true"})
DNS = End("dns", {"k8s-app": "kube-dns"}, namespace="kube-system")
DATABASES = [End(f"{part}-db", {"cnpg.io/cluster": f"{part}-db"}) for part in WITH_DATABASE]
STRANGER = End("stranger", {PART: "gateway"}, namespace="elsewhere")
UNKNOWN = End("unknown pod of ours", {"app": "unknown"})
OWNER = End("owner", address="59.192.0.1")
OWNER_6 = End("owner by IPv6", address="2400:3200::1")
INSIDE = (
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "168.63.129.16", "169.254.169.254"),
    *("172.20.0.1", "192.0.0.192", "192.88.99.1", "192.168.0.1", "198.18.0.1", "224.0.0.1"),
    *("255.255.255.255", "::1", "::ffff:10.0.0.8", "64:ff9b::a00:8", "fd00:ec2::254", "fe80::1"),
    *("ff02::1", "2001::1", "2002:a00:8::"),
)
PRIVATE = [End(f"private {address}", address=address) for address in INSIDE]
PORTS = {8443, 8081, 9090, 9091, 9093, 5432, 8000, 53, 443, 6443}


def test_what_is_generated_is_up_to_date() -> None:
    assert {path.name for path in GENERATED.iterdir()} == set(documents())
    for name, text in documents().items():
        assert (GENERATED / name).read_text("utf-8") == text, "run `make contracts`"


def test_the_tables_of_the_generator_are_the_facts() -> None:
    with_database = {p for p, c in settings_classes().items() if issubclass(c, DatabaseSettings)}
    assert set(WITH_DATABASE) == with_database
    assert set(WITH_RELAY) == {p for p, (_, roles) in PROGRAMS.services.items() if "relay" in roles}


@pytest.mark.parametrize("part", PROGRAMS.services)
def test_a_consumer_group_is_the_one_that_the_code_joins(part: str) -> None:
    package, roles = PROGRAMS.services[part]

    assert (part in FOLLOWERS) == ("consume" in roles)
    if part in FOLLOWERS:
        consumer = __import__(f"{package}.consumer", fromlist=["GROUP"])
        assert f"datong-{part}" == consumer.GROUP


def _pods(manifests: Sequence[Manifest]) -> list[End]:
    return [End(labels_of(each)[PART], labels_of(each)) for each in workloads(manifests)]


def _stated() -> set[tuple[str, str, int]]:
    """Return the connections that there must be: who, to whom, at which port."""
    calls = {(p, called, 8443) for p, row in AUTHORITY["parts"].items() for called in row["calls"]}
    rows = AUTHORITY["topics"].values()
    bus = {(row["writer"], "kafka", 9093) for row in rows}
    bus |= {(reader, "kafka", 9093) for row in rows for reader in row["readers"]}
    databases = {(part, f"{part}-db", 5432) for part in WITH_DATABASE}
    names = {(part, "dns", 53) for part in AUTHORITY["parts"]}
    callers = {p for p, row in AUTHORITY["parts"].items() if row.get("outside") == "public"}
    owners = {  # wherever an owner's service listens
        (caller, owner.name, port)
        for caller in callers
        for owner in (OWNER, OWNER_6)
        for port in PORTS
    }
    return calls | bus | databases | names | owners | {("stranger", "gateway", 8443)}


def test_pods_connect_exactly_as_authority_states(manifests: Sequence[Manifest]) -> None:
    there = policies(manifests)
    ours = _pods(manifests)
    others = [KAFKA, DNS, *DATABASES, STRANGER, UNKNOWN, OWNER, OWNER_6, *PRIVATE]

    found = {
        (source.name, target.name, port)
        for source in [*ours, STRANGER, UNKNOWN]
        for target in [*ours, *others]
        for port in PORTS
        if not (source in (STRANGER, UNKNOWN) and target in others)
        if connects(there, source, target, port)
    }

    assert found == _stated()
    assert set(ports_named(there)) <= PORTS | {1}, "a port that this test does not try"


def test_what_no_pod_reaches_is_what_the_gateway_refuses() -> None:
    """The policy is the second lock on the same door."""
    assert not any(map(is_public, INSIDE))
    for inside in (ip_network(each) for found in PUBLIC.values() for each in found):
        assert not is_public(inside[0])
        assert not is_public(inside[-1])
    assert is_public(OWNER.address or "")
    assert is_public(OWNER_6.address or "")


def test_databases_and_brokers_are_closed_to_all_others(manifests: Sequence[Manifest]) -> None:
    there = policies(manifests)

    for source in (STRANGER, UNKNOWN, *_pods(manifests)):
        for target in (*DATABASES, KAFKA):
            may = {port for port in PORTS if connects(there, source, target, port)}
            stated = {p for s, t, p in _stated() if (s, t) == (source.name, target.name)}
            assert may == stated, f"{source.name} to {target.name}"


@pytest.mark.parametrize(
    "name", ["identity", "gateway", "gateway-to-owners", "deny-all", "identity-db", "kafka"]
)
def test_a_policy_that_is_missing_or_open_is_noticed(name: str) -> None:
    """The control: the evaluation above is not blind."""
    manifests = list(rendered("base"))
    without = [
        each
        for each in manifests
        if each["kind"] != "NetworkPolicy" or each["metadata"]["name"] != name
    ]
    ours = _pods(manifests)
    targets = [*ours, KAFKA, DNS, *DATABASES, OWNER]

    def edges(of: Sequence[Manifest]) -> set[tuple[str, str, int]]:
        there = policies(of)
        return {
            (source.name, target.name, port)
            for source in [*ours, KAFKA, UNKNOWN]
            for target in targets
            for port in PORTS
            if connects(there, source, target, port)
        }

    assert edges(without) != edges(manifests)


def _rights(manifests: Sequence[Manifest], kind: str) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for user in of_kind(manifests, "KafkaUser"):
        for row in user["spec"]["authorization"]["acls"]:
            resource: Mapping[str, Any] = row["resource"]
            assert resource["patternType"] == "literal"
            if resource["type"] == kind:
                key = (user["metadata"]["name"], resource["name"])
                assert key not in found, "stated twice"
                found[key] = set(row["operations"])
    return found


def test_rights_on_topics_are_exactly_those_of_authority(manifests: Sequence[Manifest]) -> None:
    stated: dict[tuple[str, str], set[str]] = {}
    for topic, row in AUTHORITY["topics"].items():
        stated[(row["writer"], topic)] = {"Write", "Describe"}
        for reader in row["readers"]:
            stated[(reader, topic)] = {"Read", "Describe"}

    assert _rights(manifests, "topic") == stated


def test_other_rights_are_those_of_relays_and_followers(manifests: Sequence[Manifest]) -> None:
    relays = {(part, f"datong-{part}-relay"): {"Write", "Describe"} for part in WITH_RELAY}
    groups = {(part, f"datong-{part}"): {"Read", "Describe"} for part in FOLLOWERS}

    assert _rights(manifests, "transactionalId") == relays
    assert _rights(manifests, "group") == groups
    assert _rights(manifests, "cluster") == {}


def test_users_are_the_parts_and_their_certificates(manifests: Sequence[Manifest]) -> None:
    for user in of_kind(manifests, "KafkaUser"):
        assert user["spec"]["authentication"] == {"type": "tls-external"}
    assert {u["metadata"]["name"] for u in of_kind(manifests, "KafkaUser")} == set(
        AUTHORITY["parts"]
    )


def test_topics_are_those_of_the_code_with_its_settings(manifests: Sequence[Manifest]) -> None:
    made = {t["metadata"]["name"]: t["spec"] for t in of_kind(manifests, "KafkaTopic")}

    assert set(made) == set(TOPICS)
    for name, topic in TOPICS.items():
        spec = made[name]
        assert spec["partitions"] == topic.partitions
        least = int(spec["config"]["min.insync.replicas"])
        assert spec["config"] == {**topic.settings, "min.insync.replicas": str(least)}
        assert least == max(1, spec["replicas"] - 1), (
            "one broker may be away, where there are three"
        )
