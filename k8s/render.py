"""What kustomize makes of an overlay, and whether Kubernetes and the operators would take it.

Nothing is asked of a cluster or a network: `kubectl` comes as a wheel and renders, the schemas of
Kubernetes come with `kubernetes-validate`, those of operators lie in `k8s/schemas/`.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

CHECKOUT: Final = Path(__file__).resolve().parent.parent
OVERLAYS: Final = ("base", "overlays/dev")
"""Folders below `k8s/` that can be applied as they are."""

VERSIONS: Final = ("1.34", "1.37")
"""Oldest and newest Kubernetes whose schemas the manifests are checked against."""

KUBECTL: Final = Path(sys.executable).parent / "kubectl"

Manifest = Mapping[str, Any]


class NotRendered(Exception):
    """Kustomize refused the overlay; the message is its own."""


def render(folder: str) -> list[Manifest]:
    """Return the manifests of a folder below `k8s/`, in kustomize's order.

    Raises:
        NotRendered: kustomize found a fault.
    """
    done = subprocess.run(  # noqa: S603 - our own binary, no shell
        [KUBECTL, "kustomize", CHECKOUT / "k8s" / folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotRendered(done.stderr.strip())
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def faults(manifests: Iterable[Manifest], version: str) -> Iterator[str]:
    """Yield one sentence per manifest that a strict API server of `version` would refuse."""
    for each in manifests:
        name = f"{each['kind']} {each['metadata']['name']}"
        try:
            _validate(each, version)
        except jsonschema.ValidationError as error:
            where = ".".join(str(step) for step in error.absolute_path)
            yield f"{name}: {where}: {error.message}"


def _validate(manifest: Manifest, version: str) -> None:
    if not manifest.get("apiVersion"):
        raise jsonschema.ValidationError("has no apiVersion")
    custom = _custom_schemas().get((manifest["apiVersion"], manifest["kind"]))
    if custom is not None:
        jsonschema.validate(manifest, custom)
        return
    try:
        kubernetes_validate.validate(dict(manifest), version, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        raise jsonschema.ValidationError(str(error.message)) from error


@cache
def _custom_schemas() -> Mapping[tuple[str, str], Manifest]:
    return {
        (read["apiVersion"], read["kind"]): _whole(read)
        for read in (
            yaml.safe_load(path.read_text("utf-8"))
            for path in sorted((CHECKOUT / "k8s" / "schemas").glob("*.yaml"))
        )
    }


def _whole(read: Manifest) -> Manifest:
    """Return the schema of the whole resource: what the file says of `spec`, closed."""
    text = {"type": "object", "additionalProperties": {"type": "string"}}
    whole: Manifest = _closed(
        {
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": {"const": read["apiVersion"]},
                "kind": {"const": read["kind"]},
                "metadata": {
                    "type": "object",
                    "required": ["name", *(["labels"] if "labels" in read else [])],
                    "properties": {
                        "annotations": text,
                        "labels": text | {"required": read.get("labels", [])},
                        "name": {"type": "string", "maxLength": 253},
                        "namespace": {"type": "string"},
                    },
                },
                "spec": read["spec"],
            },
        }
    )
    return whole


def _closed(schema: Any) -> Any:
    """Return the schema with no members allowed but those named, unless it says otherwise."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def main() -> int:
    """Render and check every overlay; print what is wrong and return the exit code."""
    wrong = 0
    for folder in OVERLAYS:
        manifests = render(folder)
        for version in VERSIONS:
            for fault in faults(manifests, version):
                sys.stdout.write(f"{folder} on {version}: {fault}\n")
                wrong += 1
        sys.stdout.write(f"{folder}: {len(manifests)} manifests\n")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
