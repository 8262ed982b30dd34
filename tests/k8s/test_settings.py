"""Every process gets exactly settings that it knows, all that it needs, and valid ones."""

import os
from collections.abc import Sequence

import pytest

from k8s.render import OVERLAYS
from kit.settings import PartSettings
from stack.supervisor.plan import PROGRAMS
from tests.k8s.manifests import (
    PACKAGES,
    PART,
    PROCESS,
    Manifest,
    container_of,
    environment,
    labels_of,
    named,
    of_kind,
    pod_of,
    rendered,
    servers,
    workloads,
)
from tests.k8s.settings import settings_of

PREFIX = "DATONG_"


def test_settings_are_known_complete_and_valid(
    manifests: Sequence[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)
    for each in workloads(manifests):
        name = each["metadata"]["name"]
        wanted = settings_of(labels_of(each)[PART], labels_of(each)[PROCESS])
        given = environment(each, manifests)
        fields = {f"{PREFIX}{field}".upper(): row for field, row in wanted.model_fields.items()}

        assert set(given) <= set(fields), f"{name}: not a setting of this process"
        needed = {variable for variable, row in fields.items() if row.is_required()}
        assert needed <= set(given), f"{name}: is missing"
        with monkeypatch.context() as process:
            for variable, value in given.items():
                process.setenv(variable, value)
            wanted()


def test_no_test_hook_is_set(manifests: Sequence[Manifest]) -> None:
    for each in workloads(manifests):
        assert not [v for v in environment(each, manifests) if v.startswith("DATONG_TEST")]


def test_only_the_overlay_for_development_says_development() -> None:
    for folder in OVERLAYS:
        (settings,) = (
            each
            for each in of_kind(rendered(folder), "ConfigMap")
            if each["metadata"]["name"].startswith("settings")
        )
        expected = "development" if folder == "overlays/dev" else "production"
        assert settings["data"]["DATONG_ENVIRONMENT"] == expected


def test_processes_are_those_of_the_platform(manifests: Sequence[Manifest]) -> None:
    found = {(labels_of(each)[PART], labels_of(each)[PROCESS]) for each in servers(manifests)}
    jobs = {labels_of(each)[PART] for each in of_kind(manifests, "Job")}

    assert found == {
        (part, process) for part, (_, roles) in PROGRAMS.services.items() for process in roles
    } | {("gateway", "gateway")}
    assert jobs == set(PROGRAMS.services), "every service migrates, the gateway has no database"
    assert {part: package for part, (package, _) in PROGRAMS.services.items()} == {
        part: package for part, package in PACKAGES.items() if part != "gateway"
    }


def test_a_process_runs_what_its_labels_say(manifests: Sequence[Manifest]) -> None:
    for each in workloads(manifests):
        part, process = labels_of(each)[PART], labels_of(each)[PROCESS]
        expected = [PACKAGES[part]] if part == "gateway" else [PACKAGES[part], process]
        assert container_of(each)["args"] == expected
        assert "command" not in container_of(each), "the image starts Python"
        assert container_of(each)["image"].startswith(f"datong-{part}:")


def _mounts(workload: Manifest) -> dict[str, Manifest]:
    return {each["mountPath"]: each for each in container_of(workload)["volumeMounts"]}


def test_files_and_folders_that_a_process_uses_lie_on_volumes(
    manifests: Sequence[Manifest],
) -> None:
    """Relays and migrations see no folder and no key of their part, though settings name them."""
    of_every_part = {f"{PREFIX}{field}".upper() for field in PartSettings.model_fields}
    for each in workloads(manifests):
        process = labels_of(each)[PROCESS]
        for variable, value in environment(each, manifests).items():
            if not variable.endswith(("_FILE", "_DIRECTORY")):
                continue
            if variable == "DATONG_POSTGRES_URL_FILE":
                expected = True
            elif variable in of_every_part:
                expected = process != "migrate"
            else:
                expected = process not in ("relay", "migrate")
            mounted = any(value.startswith(f"{mount}/") for mount in _mounts(each))
            assert mounted == expected, f"{each['metadata']['name']}: {variable}"


def test_only_the_writer_can_sign_or_change_the_log(manifests: Sequence[Manifest]) -> None:
    for each in workloads(manifests):
        writes = each["metadata"]["name"] == "audit-write"
        volumes = {v["name"]: v for v in pod_of(each).get("volumes", [])}
        assert ("log-key" in volumes) == writes
        if "log" in volumes:
            assert bool(_mounts(each)["/var/lib/datong/objects"].get("readOnly")) != writes


def test_the_log_has_one_writer_at_a_time(manifests: Sequence[Manifest]) -> None:
    spec = named(manifests, "Deployment", "audit-write")["spec"]

    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_only_the_api_of_identity_sees_its_keys(manifests: Sequence[Manifest]) -> None:
    holders = {
        each["metadata"]["name"]
        for each in workloads(manifests)
        for volume in pod_of(each)["volumes"]
        if volume.get("persistentVolumeClaim", {}).get("claimName") == "identity-authority"
    }

    assert holders == {"identity-api"}


def test_a_gateway_finds_its_own_spool_again(manifests: Sequence[Manifest]) -> None:
    gateway = named(manifests, "StatefulSet", "gateway")
    (claim,) = gateway["spec"]["volumeClaimTemplates"]

    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "/var/lib/datong/spool" in _mounts(gateway)
    assert gateway["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert environment(gateway, manifests)["DATONG_GATEWAY"] == "gateway-0"


@pytest.mark.parametrize("part", PROGRAMS.services)
def test_the_gateway_finds_each_part(part: str, manifests: Sequence[Manifest]) -> None:
    gateway = named(manifests, "StatefulSet", "gateway")
    address = environment(gateway, manifests)[f"DATONG_{part.upper()}_URL"]
    service = named(manifests, "Service", part)["spec"]
    api = named(manifests, "Deployment", f"{part}-api")
    (port,) = service["ports"]

    assert address == f"https://{part}:{port['port']}"
    assert service["selector"] == {PART: part, PROCESS: "api"}
    assert service["selector"].items() <= labels_of(api).items()
    listens = {p["name"]: p["containerPort"] for p in container_of(api)["ports"]}
    assert environment(api, manifests)["DATONG_LISTEN"] == f"0.0.0.0:{listens[port['targetPort']]}"
