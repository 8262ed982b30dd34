"""Who may connect to whom by the NetworkPolicies, worked out as a cluster would.

A connection needs leave on both sides. A side that no policy selects allows everything; one that
some policy selects allows only what one of them names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.k8s.manifests import Manifest, named, of_kind

OURS = "datong"


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod by namespace and labels, or an address outside."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace: str = OURS
    address: str | None = None


def policies(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the policies that will be there: ours, and the one Strimzi makes of our listener."""
    listeners = named(manifests, "Kafka", "kafka")["spec"]["kafka"]["listeners"]
    made = {
        "spec": {
            "podSelector": {"matchLabels": {"strimzi.io/cluster": "kafka"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                # A listener without peers is open to everybody.
                {"from": listener.get("networkPolicyPeers"), "ports": [{"port": listener["port"]}]}
                for listener in listeners
            ],
        }
    }
    return [*of_kind(manifests, "NetworkPolicy"), made]


def connects(policies: Sequence[Manifest], source: End, target: End, port: int) -> bool:
    """Tell whether `source` may open a TCP connection to a port of `target`."""
    return _allows(policies, "Egress", source, target, port) and _allows(
        policies, "Ingress", target, source, port
    )


def _allows(policies: Sequence[Manifest], direction: str, pod: End, other: End, port: int) -> bool:
    if pod.address is not None or pod.namespace != OURS:
        return True  # no policy of ours binds it
    selecting = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not selecting:
        return True
    return any(
        _names(rule.get("to" if direction == "Egress" else "from"), other)
        and _has_port(rule.get("ports"), port)
        for spec in selecting
        for rule in spec.get(direction.lower()) or []
    )


def _names(peers: Any, other: End) -> bool:
    return peers is None or any(_is(peer, other) for peer in peers)


def _is(peer: Manifest, other: End) -> bool:
    if "ipBlock" in peer:
        return other.address is not None and _contains(peer["ipBlock"], other.address)
    if other.address is not None:
        return False
    namespace = {"kubernetes.io/metadata.name": other.namespace}
    if "namespaceSelector" in peer:
        here = _selects(peer["namespaceSelector"], namespace)
    else:
        here = other.namespace == OURS
    return here and _selects(peer.get("podSelector", {}), other.labels)


def _contains(block: Manifest, address: str) -> bool:
    found = ip_address(address)
    inside = found in ip_network(block["cidr"])
    return inside and not any(found in ip_network(each) for each in block.get("except", []))


def _has_port(ports: Any, port: int) -> bool:
    return ports is None or any(
        each["port"] <= port <= each.get("endPort", each["port"])
        for each in ports
        if each.get("protocol", "TCP") == "TCP"
    )


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    return all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    ) and all(_holds(each, labels) for each in selector.get("matchExpressions", []))


def _holds(expression: Manifest, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "Exists":
            return value is not None
        case "In":
            return value in expression["values"]
    raise AssertionError(f"the test does not know {expression['operator']}")


def ports_named(policies: Sequence[Manifest]) -> Iterator[int]:
    """Yield every port that a policy names."""
    for policy in policies:
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction) or []:
                for each in rule.get("ports") or []:
                    yield each["port"]
