"""Commands of the runbook are well formed: subcommands, flags, names and labels exist.

No cluster is here to run them; what can be wrong about a command without one is looked at.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import k8s.render
from k8s.render import CHECKOUT, KUBECTL, VERSIONS, faults, render
from tests.k8s.manifests import (
    PACKAGES,
    Manifest,
    container_of,
    named,
    names,
    rendered,
    workloads,
)

RUNBOOK = (CHECKOUT / "docs/runbooks/kubernetes.md").read_text("utf-8")
KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "job": "Job",
    "kafka": "Kafka",
    "kafkatopic": "KafkaTopic",
    "kafkauser": "KafkaUser",
    "certificate": "Certificate",
    "cluster.postgresql.cnpg.io": "Cluster",
}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)


def _commands() -> list[list[str]]:
    """Return every call of kubectl, also those in the text and in `$(…)`, as words."""
    found = [shlex.split(each) for each in re.findall(r"`(kubectl [^`]+)`", RUNBOOK)]
    for line in (line for block in _blocks("sh") for line in block.splitlines()):
        inner = re.fullmatch(r"\w+=\$\((kubectl .*) \| [^|]+\)", line)
        if inner or line.startswith("kubectl "):
            found.append(shlex.split(inner[1] if inner else line))
        else:
            assert "kubectl" not in line, f"the test does not read {line}"
    return found


COMMANDS = _commands()


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 30
    assert all(command[0] == "kubectl" for command in COMMANDS)


@pytest.mark.parametrize("block", _blocks("sh"))
def test_a_block_is_a_script(block: str) -> None:
    done = subprocess.run(["/bin/bash", "-n"], input=block, text=True, check=False)

    assert done.returncode == 0


@cache
def _help(*subcommand: str) -> str:
    done = subprocess.run(
        [KUBECTL, *subcommand, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"kubectl {' '.join(subcommand)}" in done.stdout, f"no command {subcommand}"
    return done.stdout


def _subcommand(words: Sequence[str]) -> list[str]:
    """Return the words that name what kubectl does, such as `create secret generic`."""
    deep = {"create": {"secret"}, "secret": {"generic", "tls"}}
    deep["rollout"] = {"status", "restart", "undo"}
    found: list[str] = []
    for word in words:
        if not found or word in deep.get(found[-1], ()):
            found.append(word)
        else:
            break
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_kubectl_knows_the_command_and_its_flags(command: list[str]) -> None:
    words = command[1:]
    if words[:2] == ["-n", "datong"]:
        words = words[2:]
    known = _help(*_subcommand(words))
    for word in words[: words.index("--")] if "--" in words else words:
        flag = word.split("=")[0]
        if flag.startswith("--"):
            assert re.search(rf"^\s+(-\w, )?{flag}\b", known, re.MULTILINE), flag
        elif re.fullmatch(r"-\w", flag):
            assert re.search(rf"^\s+{flag}, --", known, re.MULTILINE), flag


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_names_what_there_is(command: list[str]) -> None:
    manifests = rendered("base")
    for word in command:
        kind, slash, name = word.partition("/")
        if slash and kind in KINDS:
            assert name in names(manifests, KINDS[kind]), word
    for flag, value in pairwise(command):
        if flag == "-l":
            assert _chosen(value, manifests), f"no manifest has {value}"


def _chosen(selector: str, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests that a label selector of kubectl chooses."""

    def holds(term: str, labels: Mapping[str, str]) -> bool:
        key, operator, value = re.fullmatch(r"([\w./-]+)(!?=)([\w-]+)", term).groups()  # type: ignore[union-attr]
        return (labels.get(key) == value) == (operator == "=")

    return [
        each
        for each in manifests
        if all(holds(term, each["metadata"].get("labels", {})) for term in selector.split(","))
    ]


def test_the_first_step_makes_everything_but_processes_and_migrations() -> None:
    manifests = rendered("base")

    later = [each for each in manifests if each not in _chosen(PLAIN, manifests)]

    assert sorted(map(str, later)) == sorted(map(str, workloads(manifests)))


PLAIN = "app.kubernetes.io/part-of!=datong"


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if "exec" in command], ids=" ".join
)
def test_what_is_run_inside_a_pod_can_be_run_there(command: list[str]) -> None:
    target, inside = command[command.index("exec") + 1], command[command.index("--") + 1 :]
    if inside[:2] != ["python", "-m"]:
        assert inside[0] in {"python", "cat", "rm"}
        return
    package, verb, *arguments = inside[2:]
    part = next(part for part, each in PACKAGES.items() if each == package)
    folder = CHECKOUT / package.replace(".", "/")
    source = (folder / "__main__.py").read_text("utf-8") + (folder / "app.py").read_text("utf-8")
    source += (CHECKOUT / "kit/migrate.py").read_text("utf-8")

    assert re.search(rf"[\"']{verb}[\"']", source), f"{package} has no command {verb}"
    for argument in arguments:
        if argument.startswith("--"):
            assert f'"{argument}"' in source, argument
    if target != "$POD":
        kind, _, name = target.partition("/")
        image = container_of(named(rendered("base"), KINDS[kind], name))["image"]
        assert image.startswith(f"datong-{part}:"), "another part's code is not in that image"


def test_the_sites_overlay_renders_and_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = _blocks("yaml")
    shutil.copytree(CHECKOUT / "k8s/base", tmp_path / "k8s/base")
    site = tmp_path / "k8s/overlays/site"
    site.mkdir(parents=True)
    (site / "kustomization.yaml").write_text(text, "utf-8")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(k8s.render, "CHECKOUT", tmp_path)
        manifests = render("overlays/site")

    assert list(faults(manifests, VERSIONS[-1])) == []
    gateway = named(manifests, "StatefulSet", "gateway")
    assert gateway["spec"]["replicas"] == 4
    assert container_of(gateway)["image"] == "mirror.city.example/datong-gateway:0.1.0"
    assert any("data.city.example/log" in str(each.get("data")) for each in manifests)


def test_the_pages_that_the_runbook_speaks_of_say_the_same() -> None:
    limits = (CHECKOUT / "docs/known-limits.md").read_text("utf-8")

    assert "k8s/" in limits
    assert "Kubernetes 1.34 or newer" in RUNBOOK
    assert VERSIONS[0] == "1.34"
    assert named(rendered("base"), "Kafka", "kafka")["spec"]["kafka"]["version"] in RUNBOOK
