import filecmp
import subprocess
import sys
from pathlib import Path

import yaml
from openapi_spec_validator import validate

from okgames.events import EVENT_TYPES

DOCS = Path(__file__).parents[1] / "docs"


def test_the_documents_are_what_the_code_says_today(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DOCS / "generate.py", tmp_path], check=True)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    _, other, missing = filecmp.cmpfiles(tmp_path, DOCS, written, shallow=False)
    assert ([], []) == (other, missing), "make docs"
    assert set(EVENT_TYPES) == {path.stem for path in DOCS.glob("schemas/*.json")}


def test_the_description_of_the_http_api_is_openapi() -> None:
    validate(yaml.safe_load((DOCS / "openapi.yaml").read_text()))


def test_every_operation_says_what_it_does() -> None:
    paths = yaml.safe_load((DOCS / "openapi.yaml").read_text())["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]

    assert [] == [each["operationId"] for each in operations if not each["summary"].endswith(".")]


def test_parameters_that_handlers_read_are_described() -> None:
    paths = yaml.safe_load((DOCS / "openapi.yaml").read_text())["paths"]
    deliveries = {each["name"] for each in paths["/v1/deliveries"]["get"]["parameters"]}

    assert {"application_key", "uid", "endpoint_id", "state", "limit", "after"} == deliveries
