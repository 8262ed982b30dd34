"""What every pod has: no rights, probes, limits, a spread, and only references that exist."""

from collections.abc import Sequence
from typing import Any

import yaml

from k8s.render import CHECKOUT
from kit.tls import peer_part
from tests.k8s.manifests import (
    PART,
    PARTS,
    PROCESS,
    Manifest,
    container_of,
    environment,
    labels_of,
    named,
    names,
    of_kind,
    pod_of,
    rendered,
    servers,
    workloads,
)

BY_OPERATORS = {"kafka-cluster-ca-cert"} | {f"{part}-db-app" for part in PARTS if part != "gateway"}
"""Secrets that Strimzi and CloudNativePG write."""

BY_HAND = {"audit-log-key", "gateway-server-tls", "transfer-pseudonym-key"}
"""Secrets that whoever deploys brings; the runbook says how."""


def test_pods_have_no_rights(manifests: Sequence[Manifest]) -> None:
    for each in workloads(manifests):
        pod, container = pod_of(each), container_of(each)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        assert all("hostPath" not in volume for volume in pod["volumes"])


def test_the_namespace_refuses_pods_with_more_rights(manifests: Sequence[Manifest]) -> None:
    labels = named(manifests, "Namespace", "datong")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"].get("namespace", "datong") for each in manifests} == {"datong"}


def test_every_part_has_an_account_without_a_token(manifests: Sequence[Manifest]) -> None:
    assert names(manifests, "ServiceAccount") == set(PARTS)
    for account in of_kind(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for each in workloads(manifests):
        assert pod_of(each)["serviceAccountName"] == labels_of(each)[PART]
    assert not list(of_kind(manifests, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"))


def test_every_server_is_probed_where_it_answers(manifests: Sequence[Manifest]) -> None:
    for each in servers(manifests):
        container = container_of(each)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert environment(each, manifests)["DATONG_HEALTH_LISTEN"] == f"0.0.0.0:{ports['health']}"
        relay = labels_of(each)[PROCESS] == "relay"
        assert _asked(container, "startupProbe") == "/health/live"
        assert _asked(container, "livenessProbe") == "/health/live"
        # A relay that waits for the other one is not ready for as long as it waits.
        assert _asked(container, "readinessProbe") == ("/health/live" if relay else "/health/ready")


def _asked(container: Manifest, probe: str) -> str:
    asked = container[probe]["httpGet"]
    assert asked["port"] == "health"
    return str(asked["path"])


def test_health_is_not_served_to_others(manifests: Sequence[Manifest]) -> None:
    for service in of_kind(manifests, "Service"):
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["https"]


def test_every_container_has_requests_and_a_memory_limit(manifests: Sequence[Manifest]) -> None:
    for each in workloads(manifests):
        resources = container_of(each)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}, "a limit of CPU only makes calls slow"


def test_images_are_those_of_this_version(manifests: Sequence[Manifest]) -> None:
    project = (CHECKOUT / "pyproject.toml").read_text("utf-8")
    version = next(
        line.split('"')[1] for line in project.splitlines() if line.startswith("version = ")
    )
    for each in workloads(manifests):
        assert container_of(each)["image"] == f"datong-{labels_of(each)[PART]}:{version}"


def test_servers_are_spread_and_may_be_moved_one_by_one(manifests: Sequence[Manifest]) -> None:
    budgets = {
        budget["metadata"]["name"]: budget for budget in of_kind(manifests, "PodDisruptionBudget")
    }
    for each in servers(manifests):
        spread = pod_of(each)["topologySpreadConstraints"]
        assert {row["topologyKey"] for row in spread} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for row in spread:
            assert row["labelSelector"]["matchLabels"].items() <= labels_of(each).items()
            assert set(row["matchLabelKeys"]) == {PART, PROCESS} <= set(labels_of(each))
        budget = budgets.pop(each["metadata"]["name"])["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        selector = budget["selector"]["matchLabels"]
        chosen = [o for o in workloads(manifests) if selector.items() <= labels_of(o).items()]
        assert chosen == [each]
    assert budgets == {}


def test_workloads_select_their_own_pods_only(manifests: Sequence[Manifest]) -> None:
    for each in servers(manifests):
        selector = each["spec"]["selector"]["matchLabels"]
        chosen = [o for o in workloads(manifests) if selector.items() <= labels_of(o).items()]
        assert chosen == [each]


def test_in_the_base_nothing_but_the_writer_stands_alone() -> None:
    alone = {
        each["metadata"]["name"]
        for each in servers(rendered("base"))
        if each["spec"]["replicas"] < 2
    }

    assert alone == {"audit-write"}


def _secrets_of(value: Any) -> set[str]:
    """Return the names of secrets that are read anywhere below `value`."""
    if isinstance(value, list):
        return {name for each in value for name in _secrets_of(each)}
    if not isinstance(value, dict):
        return set()
    found = {name for each in value.values() for name in _secrets_of(each)}
    if "secretName" in value:
        found.add(value["secretName"])
    return found


def test_secrets_come_from_somewhere(manifests: Sequence[Manifest]) -> None:
    made = {each["spec"]["secretName"] for each in of_kind(manifests, "Certificate")}
    read = {
        name
        for each in manifests
        if each["kind"] != "Certificate"
        for name in _secrets_of(each.get("spec", {}))
    }

    assert read <= made | BY_OPERATORS | BY_HAND
    assert read | {"gateway-server-tls"} >= made | BY_OPERATORS | BY_HAND, "nobody reads it"


def test_secrets_can_be_read_by_the_process_alone(manifests: Sequence[Manifest]) -> None:
    """Root owns them, the group is the process's own; parts refuse keys that others may read."""
    for each in workloads(manifests):
        for volume in pod_of(each)["volumes"]:
            if "secret" in volume and volume["name"] != "kafka-ca":
                assert volume["secret"]["defaultMode"] == 0o440


def test_the_runbook_says_how_secrets_come_about() -> None:
    runbook = (CHECKOUT / "docs/runbooks/kubernetes.md").read_text("utf-8")

    for secret in BY_HAND:
        assert f"`{secret}`" in runbook


def test_volumes_exist_and_all_are_used(manifests: Sequence[Manifest]) -> None:
    claimed: set[str] = set()
    for each in workloads(manifests):
        pod = pod_of(each)
        templates = {t["metadata"]["name"] for t in each["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"] for mount in container_of(each)["volumeMounts"]}
        assert mounts == volumes | templates
        claimed |= {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        }

    assert claimed == names(manifests, "PersistentVolumeClaim")


def test_shared_volumes_can_be_shared(manifests: Sequence[Manifest], folder: str) -> None:
    for claim in of_kind(manifests, "PersistentVolumeClaim"):
        shared = claim["metadata"]["name"] != "audit-last-checkpoint"
        expected = "ReadWriteMany" if shared and folder == "base" else "ReadWriteOnce"
        assert claim["spec"]["accessModes"] == [expected]


def test_every_part_has_the_certificate_that_others_expect(manifests: Sequence[Manifest]) -> None:
    for part in PARTS:
        spec = named(manifests, "Certificate", part)["spec"]
        workload = next(each for each in servers(manifests) if labels_of(each)[PART] == part)
        domain = environment(workload, manifests)["DATONG_TRUST_DOMAIN"]
        shown = {"subjectAltName": tuple(("URI", uri) for uri in spec["uris"])}

        assert peer_part(shown, domain) == part
        assert spec["commonName"] == part, "Kafka's principal is CN=<part>"
        assert spec["secretName"] == f"{part}-tls"
        assert {"server auth", "client auth"} <= set(spec["usages"])
        assert spec["privateKey"] == {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}
        assert spec["issuerRef"]["name"] == "internal"
        volumes = {v["name"]: v for v in pod_of(workload)["volumes"]}
        assert volumes["tls"]["secret"]["secretName"] == spec["secretName"]


def test_kafka_is_spoken_over_tls_with_certificates_of_parts(
    manifests: Sequence[Manifest],
) -> None:
    kafka = named(manifests, "Kafka", "kafka")["spec"]["kafka"]
    (listener,) = kafka["listeners"]

    assert listener["tls"] is True
    assert listener["authentication"]["listenerConfig"]["ssl.client.auth"] == "required"
    assert kafka["authorization"] == {"type": "simple"}, "nobody is above the rights"
    assert kafka["config"]["auto.create.topics.enable"] is False
    (volume,) = kafka["template"]["pod"]["volumes"]
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}], "never the CA's key"
    for each in servers(manifests):
        given = environment(each, manifests)
        assert given["DATONG_KAFKA"] == f"kafka-kafka-bootstrap:{listener['port']}"
        assert given["DATONG_KAFKA_TLS_CA_FILE"]


def test_kafka_is_the_version_that_tests_run_on(manifests: Sequence[Manifest]) -> None:
    jars = (CHECKOUT / "stack/kafka/jgo.toml").read_text("utf-8")
    version = named(manifests, "Kafka", "kafka")["spec"]["kafka"]["version"]

    assert f"org.apache.kafka:kafka_2.13:{version}" in jars


def test_every_service_has_a_database_of_postgresql_18(manifests: Sequence[Manifest]) -> None:
    clusters = {each["metadata"]["name"]: each["spec"] for each in of_kind(manifests, "Cluster")}

    assert set(clusters) == {f"{part}-db" for part in PARTS if part != "gateway"}
    for spec in clusters.values():
        assert spec["imageCatalogRef"]["major"] == 18


def test_no_manifest_names_a_registry() -> None:
    for path in sorted((CHECKOUT / "k8s").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            for image in _images(document):
                assert "/" not in image, f"{path}: {image}"


def _images(value: Any) -> list[str]:
    if isinstance(value, list):
        return [image for each in value for image in _images(each)]
    if not isinstance(value, dict):
        return []
    own = [value["image"]] if isinstance(value.get("image"), str) else []
    return own + [image for each in value.values() for image in _images(each)]
