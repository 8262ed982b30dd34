"""What follows from `contracts/authority.yaml` on Kubernetes.

That is who may connect to whom, who may read and write which topic, and the topics themselves.
`python -m k8s.generate` writes `k8s/base/generated/`; `make contracts` calls it, and a test
compares. Nothing in that folder is written by hand.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from typing_extensions import override

from kit.topics import TOPICS, Topic

CHECKOUT: Final = Path(__file__).resolve().parent.parent
AUTHORITY: Final = CHECKOUT / "contracts" / "authority.yaml"
FOLDER: Final = Path(__file__).resolve().parent / "base" / "generated"

PART_LABEL: Final = "app.kubernetes.io/name"
CLUSTER: Final = "kafka"
"""Name of the Kafka cluster and value of `strimzi.io/cluster`."""

API_PORT: Final = 8443
KAFKA_PORT: Final = 9093
POSTGRES_PORT: Final = 5432
DNS_PORT: Final = 53

WITH_DATABASE: Final = ("identity", "catalog", "sharing", "transfer", "audit")
"""Parts with a database of their own, whose cluster is called `<part>-db`."""
WITH_RELAY: Final = ("identity", "catalog", "sharing", "transfer")
"""Parts whose relay is fenced by the transactional id `datong-<part>-relay` (`kit.relay`)."""
FOLLOWERS: Final = ("sharing",)
"""Parts that read topics in the consumer group `datong-<part>` (`kit.follow`)."""

PUBLIC: Final = {
    "0.0.0.0/0": (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
    ),
    "2000::/3": ("2001::/32", "2002::/16"),
}
"""Networks of public addresses, and what is not public in each; the gateway itself looks closer
(`kit.addresses`)."""

REPLICAS: Final = 3
IN_SYNC: Final = 2

_HEAD: Final = (
    "# Generated from contracts/authority.yaml by `make contracts` (k8s/generate.py).\n"
    "# Changes by hand are lost, and a test finds them.\n"
)

Manifest = dict[str, Any]
Authority = Mapping[str, Any]


def read_authority() -> Authority:
    """Return `contracts/authority.yaml`."""
    read: Authority = yaml.safe_load(AUTHORITY.read_text("utf-8"))
    return read


def policies(authority: Authority) -> Iterator[Manifest]:
    """Yield one NetworkPolicy per part, and one per database for its side of the connection.

    Together with the policy that denies everything they leave: the gateway to outsiders, one
    edge per entry of `calls`, each part's edges to Kafka, its database and DNS, and those to
    services of owners, in a policy of their own: an overlay may name networks instead.
    """
    for part in authority["parts"]:
        yield _policy(
            part,
            selector={PART_LABEL: part},
            ingress=list(_ingress(part, authority)),
            egress=list(_egress(part, authority)),
        )
        if authority["parts"][part].get("outside") == "public":
            yield _outside(part)
    for part in WITH_DATABASE:
        yield _policy(
            f"{part}-db",
            selector={"cnpg.io/cluster": f"{part}-db"},
            ingress=[{"from": [_pods({PART_LABEL: part})], "ports": [_tcp(POSTGRES_PORT)]}],
        )


def _ingress(part: str, authority: Authority) -> Iterator[Manifest]:
    callers = [name for name, row in authority["parts"].items() if part in row["calls"]]
    if part == "gateway":
        yield {"ports": [_tcp(API_PORT)]}  # the only one that outsiders reach
    elif callers:
        yield {"from": [_pods({PART_LABEL: name}) for name in callers], "ports": [_tcp(API_PORT)]}


def _egress(part: str, authority: Authority) -> Iterator[Manifest]:
    called = authority["parts"][part]["calls"]
    if called:
        yield {"to": [_pods({PART_LABEL: name}) for name in called], "ports": [_tcp(API_PORT)]}
    if part in parts_on_the_bus(authority):
        brokers = _pods({"strimzi.io/cluster": CLUSTER, "strimzi.io/broker-role": "true"})
        yield {"to": [brokers], "ports": [_tcp(KAFKA_PORT)]}
    if part in WITH_DATABASE:
        yield {
            "to": [_pods({"cnpg.io/cluster": f"{part}-db"})],
            "ports": [_tcp(POSTGRES_PORT)],
        }
    resolver = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]
    yield {"to": [resolver], "ports": ports}


def _outside(part: str) -> Manifest:
    """Return the policy that lets a part connect to any port of any public address."""
    blocks = [{"ipBlock": {"cidr": cidr, "except": [*inside]}} for cidr, inside in PUBLIC.items()]
    ports = [{**_tcp(1), "endPort": 65535}]
    return _policy(
        f"{part}-to-owners", selector={PART_LABEL: part}, egress=[{"to": blocks, "ports": ports}]
    )


def parts_on_the_bus(authority: Authority) -> list[str]:
    """Return the parts that write or read a topic, in order."""
    rows = authority["topics"].values()
    named = {row["writer"] for row in rows} | {name for row in rows for name in row["readers"]}
    return [part for part in authority["parts"] if part in named]


def topics() -> Iterator[Manifest]:
    """Yield every topic of `kit.topics`, replicated so that one broker may be away."""
    for topic in TOPICS.values():
        yield {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": CLUSTER}},
            "spec": {
                "partitions": topic.partitions,
                "replicas": REPLICAS,
                "config": _topic_settings(topic),
            },
        }


def _topic_settings(topic: Topic) -> dict[str, str]:
    return dict(topic.settings) | {"min.insync.replicas": str(IN_SYNC)}


def users(authority: Authority) -> Iterator[Manifest]:
    """Yield one KafkaUser per part: it is the part's certificate, `CN=<part>`, and its rights."""
    for part in parts_on_the_bus(authority):
        yield {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaUser",
            "metadata": {"name": part, "labels": {"strimzi.io/cluster": CLUSTER}},
            "spec": {
                "authentication": {"type": "tls-external"},
                "authorization": {"type": "simple", "acls": list(_rights(part, authority))},
            },
        }


def _rights(part: str, authority: Authority) -> Iterator[Manifest]:
    for name, row in authority["topics"].items():
        operations = ["Write"] if row["writer"] == part else []
        operations += ["Read"] if part in row["readers"] else []
        if operations:
            yield _right("topic", name, [*operations, "Describe"])
    if part in WITH_RELAY:
        yield _right("transactionalId", f"datong-{part}-relay", ["Write", "Describe"])
    if part in FOLLOWERS:
        yield _right("group", f"datong-{part}", ["Read", "Describe"])


def _right(kind: str, name: str, operations: list[str]) -> Manifest:
    return {
        "resource": {"type": kind, "name": name, "patternType": "literal"},
        "operations": operations,
    }


def _policy(
    name: str,
    *,
    selector: Mapping[str, str],
    ingress: list[Manifest] | None = None,
    egress: list[Manifest] | None = None,
) -> Manifest:
    """Return a policy for the directions that are given."""
    rules = {"Ingress": ingress, "Egress": egress}
    ruled = {way: found for way, found in rules.items() if found is not None}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": dict(selector)},
            "policyTypes": list(ruled),
            **{way.lower(): found for way, found in ruled.items()},
        },
    }


def _pods(labels: Mapping[str, str]) -> Manifest:
    return {"podSelector": {"matchLabels": dict(labels)}}


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}


def documents() -> dict[str, str]:
    """Return what each file of the folder must hold, by its name."""
    authority = read_authority()
    made = {
        "policies.yaml": policies(authority),
        "topics.yaml": topics(),
        "users.yaml": users(authority),
    }
    return {name: _HEAD + _text(manifests) for name, manifests in made.items()}


class _Plain(yaml.SafeDumper):
    """Writes equal parts out instead of naming them once and pointing to them."""

    @override
    def ignore_aliases(self, data: Any) -> bool:
        """Return True: no anchors."""
        del data
        return True


def _text(manifests: Iterator[Manifest]) -> str:
    return yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, width=120)


def main() -> None:
    """Write the files."""
    argparse.ArgumentParser(prog="python -m k8s.generate").parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
