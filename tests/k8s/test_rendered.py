"""A strict API server would take what kustomize renders; and the check itself is not blind."""

import copy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import k8s.render
from k8s.render import OVERLAYS, VERSIONS, NotRendered, faults, render
from tests.k8s.manifests import Manifest, named, rendered


@pytest.mark.parametrize("folder", OVERLAYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(folder: str, version: str) -> None:
    assert list(faults(rendered(folder), version)) == []


def test_every_overlay_is_checked() -> None:
    there = {
        str(path.parent.relative_to(k8s.render.CHECKOUT / "k8s"))
        for path in (k8s.render.CHECKOUT / "k8s").rglob("kustomization.yaml")
    }

    assert there == set(OVERLAYS)


def _misspell_probe(manifest: Any) -> None:
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["livenesProbe"] = container.pop("livenessProbe")


def _replicas_as_text(manifest: Any) -> None:
    manifest["spec"]["replicas"] = "2"


def _forget_the_version(manifest: Any) -> None:
    manifest["apiVersion"] = None


def _old_version(manifest: Any) -> None:
    manifest["apiVersion"] = "apps/v1beta1"


@pytest.mark.parametrize(
    "spoil", [_misspell_probe, _replicas_as_text, _forget_the_version, _old_version]
)
def test_faults_in_kinds_of_kubernetes_are_found(spoil: Callable[[Any], None]) -> None:
    spoiled = copy.deepcopy(named(rendered("base"), "Deployment", "identity-api"))
    spoil(spoiled)

    assert len(list(faults([spoiled], VERSIONS[-1]))) == 1


@pytest.mark.parametrize(
    "kind,name,path,value",
    [
        ("Kafka", "kafka", ("spec", "kafka", "listeners", 0, "tsl"), True),
        ("Kafka", "kafka", ("spec", "kafka", "listeners", 0, "port"), 443),
        ("KafkaTopic", "sharing.grant.v1", ("spec", "partition"), 1),
        ("KafkaTopic", "sharing.grant.v1", ("metadata", "labels"), {}),
        ("KafkaUser", "audit", ("spec", "authorization", "acls", 0, "operations"), ["read"]),
        ("KafkaNodePool", "brokers", ("spec", "roles"), ["brokers"]),
        ("Cluster", "audit-db", ("spec", "instance"), 3),
        ("Certificate", "audit", ("spec", "usages"), ["client authentication"]),
        ("Issuer", "internal", ("spec", "selfSigned"), {}),
    ],
)
def test_faults_in_kinds_of_operators_are_found(
    kind: str, name: str, path: Sequence[str | int], value: Any
) -> None:
    spoiled = copy.deepcopy(named(rendered("base"), kind, name))
    place: Any = spoiled
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert len(list(faults([spoiled], VERSIONS[-1]))) == 1


def test_a_misspelt_kustomization_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(k8s.render.CHECKOUT / "k8s" / "base", tmp_path / "k8s" / "base")
    kustomization = tmp_path / "k8s" / "base" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text("utf-8") + "patchs: []\n", "utf-8")
    monkeypatch.setattr(k8s.render, "CHECKOUT", tmp_path)

    with pytest.raises(NotRendered, match="patchs"):
        render("base")


def test_no_secret_lies_in_a_manifest(manifests: Sequence[Manifest]) -> None:
    assert [each for each in manifests if each["kind"] == "Secret"] == []
