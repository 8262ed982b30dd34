"""Rendered manifests, and the questions that tests ask of them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from k8s.render import render

Manifest = Mapping[str, Any]

PARTS = ("identity", "catalog", "sharing", "transfer", "audit", "gateway")
PACKAGES = {
    "identity": "services.identity",
    "catalog": "services.catalog",
    "sharing": "services.exchange.sharing",
    "transfer": "services.exchange.transfer",
    "audit": "services.audit",
    "gateway": "gateway",
}
PART = "app.kubernetes.io/name"
PROCESS = "app.kubernetes.io/component"


@cache
def rendered(folder: str) -> Sequence[Manifest]:
    """Return what kustomize makes of a folder below `k8s/`; rendered once."""
    return render(folder)


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (each for each in manifests if each["kind"] in kinds)


def named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (e for e in of_kind(manifests, kind) if e["metadata"]["name"] == name)
    return found


def names(manifests: Sequence[Manifest], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in of_kind(manifests, kind)}


def servers(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return what stays: Deployments and the StatefulSet."""
    return list(of_kind(manifests, "Deployment", "StatefulSet"))


def workloads(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return what runs our images: the servers and the migrations."""
    return [*servers(manifests), *of_kind(manifests, "Job")]


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Manifest) -> Manifest:
    (container,) = pod_of(workload)["containers"]
    found: Manifest = container
    return found


def labels_of(workload: Manifest) -> Mapping[str, str]:
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def environment(workload: Manifest, manifests: Sequence[Manifest]) -> dict[str, str]:
    """Return the variables that the container of a workload sees; pod names get the number 0."""
    container = container_of(workload)
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        assert set(source) == {"configMapRef"}, "secrets are files"
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for row in container.get("env", []):
        assert row["name"] not in found, f"{row['name']} is set twice"
        found[row["name"]] = _value(row, workload, manifests)
    return found


def _value(row: Manifest, workload: Manifest, manifests: Sequence[Manifest]) -> str:
    if "value" in row:
        return str(row["value"])
    ((kind, source),) = row["valueFrom"].items()
    if kind == "fieldRef":
        assert source["fieldPath"] == "metadata.name"
        return f"{workload['metadata']['name']}-0"
    assert kind == "configMapKeyRef", "secrets are files"
    return str(named(manifests, "ConfigMap", source["name"])["data"][source["key"]])
