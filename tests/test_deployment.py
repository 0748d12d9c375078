import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

from callback_gateway.domain.callback import Reason
from callback_gateway.domain.journal import Outcome
from cli.main import ServiceName
from cli.processes import BUILDS
from notifier.domain.delivery import Delivered
from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.kafka import KafkaAddress
from okgames.service import Service
from okgames.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
DOCKERFILE = (DEPLOY / "docker/Dockerfile").read_text()
TEMPLATES = {path.name: path.read_text() for path in (DEPLOY / "helm/okgames/templates").iterdir()}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if each["image"].startswith("okgames:")}
CHART = yaml.safe_load((DEPLOY / "helm/okgames/values.yaml").read_text())["services"]
PATHS = [(name, path) for name, each in CHART.items() for path in each.get("paths", ())]
ALERTS = yaml.safe_load((DEPLOY / "observability/alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARDS = sorted((DEPLOY / "observability/dashboards").glob("*.json"))


def all_services() -> list[Service]:
    settings = Settings(database_url="postgresql://nobody@nowhere/nothing")
    config = load_config(ROOT / "okgames.example.toml")
    return [build(settings, config, SystemClock()) for build in BUILDS.values()]


def expressions() -> list[str]:
    panels = [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]
    return [rule["expr"] for rule in ALERTS] + [each["expr"] for panel in panels for each in panel["targets"]]


def test_everything_that_can_be_run_stands_in_compose_and_in_the_chart() -> None:
    in_compose = {name for name, each in OURS.items() if each["command"] == ["run", name]}

    assert set(ServiceName) == in_compose == set(CHART)


@pytest.mark.parametrize("name", OURS)
def test_command_of_a_container_exists(name: str) -> None:
    command = [BIN / "okgames", *OURS[name]["command"], "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (0, "") == (result.returncode, result.stderr)


def test_steps_of_the_chart_are_those_of_compose() -> None:
    steps = re.findall(r'dict "name" "(\w+)" "args" \(list (.*?)\)\)? ?', TEMPLATES["steps.yaml"])

    assert {"migrate": ["migrate"], "topics": ["topics", "apply"]} == {
        name: shlex.split(arguments) for name, arguments in steps
    }
    assert [] == [name for name, arguments in steps if OURS[name]["command"][:1] != shlex.split(arguments)[:1]]


def test_the_image_without_a_command_runs_the_service_that_it_was_built_for() -> None:
    assert 'CMD ["run"]' in DOCKERFILE
    assert "OKGAMES_SERVICE=$SERVICE" in DOCKERFILE
    environment = {"OKGAMES_SERVICE": "nobody"}
    result = subprocess.run([BIN / "okgames", "run"], env=environment, capture_output=True, check=False)
    assert b"nobody" in result.stderr


def environment_names() -> Iterator[str]:
    yield from re.findall(r"(OKGAMES_\w+)=", DOCKERFILE)
    yield from (name for each in OURS.values() for name in each["environment"])
    for text in TEMPLATES.values():
        yield from re.findall(r"name: (OKGAMES_\w+)", text)
    yield from re.findall(r"^(OKGAMES_\w+)=", (DEPLOY / "docker/simulation.env").read_text(), re.MULTILINE)


def test_variables_of_containers_are_settings() -> None:
    known = {f"OKGAMES_{name.upper()}" for name in Settings.model_fields} | {"OKGAMES_SERVICE"}
    names = set(environment_names())

    assert len(names) > 10
    assert [] == sorted(name for name in names if name.removesuffix("_FILE") not in known)


def test_secrets_come_as_files_and_are_not_in_the_image() -> None:
    assert {"OKGAMES_DATABASE_URL_FILE", "OKGAMES_ADMIN_TOKEN_FILE"} <= set(environment_names())
    assert not {"OKGAMES_DATABASE_URL", "OKGAMES_ADMIN_TOKEN"} & set(environment_names())
    assert "secret" not in (ROOT / ".dockerignore").read_text().replace("secrets and configuration never are", "")


def test_dockerignore_lets_through_what_the_image_is_built_from_and_nothing_else() -> None:
    copied = {source for source, _ in re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)}
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)

    assert copied == set(let_through)


def test_containers_run_as_nobody_in_particular_and_write_nothing() -> None:
    # yoyo asks for the name of the user who migrates, and a number without one has none.
    assert "USER=okgames" in DOCKERFILE
    assert "10001:10001" == re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1]
    assert [] == [name for name, each in OURS.items() if not each["read_only"] or each["cap_drop"] != ["ALL"]]
    for line in ("runAsNonRoot: true", "runAsUser: 10001", "readOnlyRootFilesystem: true", "drop: [ALL]"):
        assert line in TEMPLATES["_helpers.tpl"]


@pytest.mark.parametrize("name", sorted(CHART))
def test_a_service_of_compose_can_be_scaled(name: str) -> None:
    assert not {"ports", "container_name", "hostname"} & set(OURS[name])
    assert "healthcheck" in OURS[name]


def waits_for(name: str) -> set[str]:
    direct = set(COMPOSE["services"][name].get("depends_on", ()))
    return direct.union(*map(waits_for, direct))


def test_the_gateway_waits_for_the_database_and_never_for_kafka() -> None:
    assert {"postgres", "migrate"} == waits_for("callback-gateway")
    assert "kafka" not in CHART["callback-gateway"]


@pytest.mark.parametrize("name", sorted(set(CHART) - {"callback-gateway"}))
def test_what_reads_or_fills_kafka_waits_for_its_topics(name: str) -> None:
    assert {"postgres", "migrate", "kafka", "topics"} == waits_for(name)
    assert CHART[name]["kafka"]


def test_ports_agree() -> None:
    ports = dict(re.findall(r"OKGAMES_(\w*HTTP)=0\.0\.0\.0:(\d+)", DOCKERFILE))
    http, management, simulator = ports["HTTP"], ports["MANAGEMENT_HTTP"], ports["SIMULATOR_HTTP"]

    assert f"EXPOSE {http} {management}" in DOCKERFILE
    assert f"name: http, containerPort: {http}" in TEMPLATES["workloads.yaml"]
    assert f"name: management, containerPort: {management}" in TEMPLATES["workloads.yaml"]
    assert {http} == set(re.findall(r"dynamic a \{args\[0\]\} (\d+)", (DEPLOY / "docker/Caddyfile").read_text()))
    assert [] == [name for name in CHART if f"127.0.0.1:{management}/readyz" not in str(OURS[name]["healthcheck"])]
    assert simulator in str(OURS["simulator"]["healthcheck"])
    prometheus = yaml.safe_load((DEPLOY / "observability/prometheus.yaml").read_text())
    assert int(management) == prometheus["scrape_configs"][0]["dns_sd_configs"][0]["port"]


@pytest.mark.parametrize("service", all_services(), ids=lambda service: service.name)
def test_requests_reach_the_service_that_answers_them(service: Service) -> None:
    entry = (DEPLOY / "docker/Caddyfile").read_text()
    handles = re.findall(r"handle (\S+) \{\s+import copies (\S+)", entry)
    for route in service.routes:
        by_entry = {to for path, to in handles if route.path.startswith(path.rstrip("*"))}
        by_ingress = {name for name, path in PATHS if route.path.startswith(path)}
        assert {service.name} == by_entry == by_ingress, route.path


@pytest.mark.parametrize("service", all_services(), ids=lambda service: service.name)
def test_the_chart_measures_the_lag_of_the_topics_that_a_service_reads(service: Service) -> None:
    assert {str(topic) for topic in service.handlers} == set(CHART[service.name].get("reads", ()))
    assert bool(service.handlers) == ("lagScaling" in CHART[service.name])
    group = KafkaAddress(servers=()).group("{{ $name }}", "{{ $topic }}")
    assert f"consumerGroup: {group}\n" in TEMPLATES["scaling.yaml"]


def test_prometheus_asks_every_service() -> None:
    prometheus = yaml.safe_load((DEPLOY / "observability/prometheus.yaml").read_text())

    assert set(CHART) == set(prometheus["scrape_configs"][0]["dns_sd_configs"][0]["names"])


def metrics() -> dict[str, set[str]]:
    """Return the labels of all metrics that the services have, under the names that Prometheus gives them."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    found: dict[str, set[str]] = {"up": {"job", "service"}}
    for collector in REGISTRY._collector_to_names:
        labels = {*getattr(collector, "_labelnames", ()), "le", "job", "service", "instance"}
        for family in collector.collect():
            found |= {f"{family.name}{suffix}": labels for suffix in suffixes[family.type]}
    return found


@pytest.mark.parametrize("expression", expressions())
def test_expression_asks_for_metrics_and_labels_that_exist(expression: str) -> None:
    promql_parser.parse(expression)
    known = metrics()
    selectors = re.findall(r"\b((?:okgames|process)_\w+|up)\b(?:\{(.*?)\})?", expression)

    assert selectors
    for name, matchers in selectors:
        assert name in known
        assert set(re.findall(r"(\w+)[=!]", matchers)) <= known[name]


def values_of(label: str) -> set[str]:
    found = re.findall(rf'{label}[!=~]+"([^"]+)"', " ".join(expressions()))
    return {value for values in found for value in values.split("|")}


def test_alerts_name_values_that_labels_have() -> None:
    assert values_of("outcome") <= {*Outcome, Delivered.__name__}
    assert values_of("code") <= {str(int(reason.code)) for reason in Reason}
    assert values_of("group") | values_of("service") <= set(CHART)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alert_leads_to_a_part_of_the_runbook(rule: dict[str, Any]) -> None:
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.*)$", (ROOT / file).read_text(), re.MULTILINE)

    assert anchor in {re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_no_file_names_the_host_of_a_registry() -> None:
    hosts = r"registry\.npmjs|proxy\.golang|pypi\.org|docker\.io|ghcr\.io|quay\.io"
    lines = subprocess.run(
        ["git", "grep", "--no-index", "--exclude-standard", "-nIE", hosts],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()

    assert [] == [line for line in lines if not line.startswith("tests/test_deployment.py")]
