"""
Write the schemas of Kubernetes and KEDA as kubeconform reads them.

schemas.py KUBERNETES_SCHEMAS KEDA_DEFINITION TARGET VERSION...
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml


def kubernetes(source: Path, target: Path) -> None:
    """Copy one version's schemas, which name each other by the place from which a cluster serves them."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        schema = json.loads(path.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
        schema.pop("$id", None)
        (target / path.name).write_text(json.dumps(schema))


def keda(definition: Path, target: Path) -> None:
    """Take the schema out of a CustomResourceDefinition; a field that it does not name becomes an error."""
    versions = yaml.safe_load(definition.read_text())["spec"]["versions"]
    schema = closed(next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1alpha1"))
    # What every object has; the definition leaves it to the server.
    schema["properties"]["metadata"] = {"type": "object"}
    target.write_text(json.dumps(schema))


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return strict | {name: closed(value) for name, value in schema.items()}


if __name__ == "__main__":
    kubernetes_schemas, keda_definition, folder = map(Path, sys.argv[1:4])
    for version in sys.argv[4:]:
        kubernetes(kubernetes_schemas / f"v{version}-local-strict", folder / version)
    keda(keda_definition, folder / "scaledobject-keda-v1alpha1.json")
