"""Write docs/asyncapi.yaml, docs/openapi.yaml and docs/schemas/ from the code: generate.py [FOLDER]."""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cli.processes import BUILDS
from okgames import dead_letters
from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.events import EVENT_TYPES, Event, Topic
from okgames.kafka import KafkaAddress
from okgames.ok_protocol import AnswerFormat, reply
from okgames.service import Route, Service
from okgames.settings import Settings
from okgames.topics import load_plans

Document: TypeAlias = dict[str, Any]
References: TypeAlias = Mapping[type[BaseModel], Document]

ROOT: Final = Path(__file__).parents[1]
COMPONENT: Final = "#/components/schemas/{model}"
WRITTEN_BY: Final = "Written by `make docs`; change the code instead."
PAGES: Final = {"page", "window_page"}
QUERY_KINDS: Final = {"query_int": {"type": "integer"}, "query_time": {"type": "string", "format": "date-time"}}


def main(folder: Path) -> None:
    services = all_services()
    schemas = folder / "schemas"
    schemas.mkdir(parents=True, exist_ok=True)
    for path in schemas.glob("*.json"):
        path.unlink()
    for name, event in EVENT_TYPES.items():
        (schemas / f"{name}.json").write_text(json.dumps(event_schema(event), indent=2) + "\n")
    write_yaml(folder / "asyncapi.yaml", asyncapi(services))
    write_yaml(folder / "openapi.yaml", openapi(services))


def all_services() -> list[Service]:
    settings = Settings(database_url="postgresql://nobody@nowhere/nothing")
    config = load_config(ROOT / "okgames.example.toml")
    return [build(settings, config, SystemClock()) for build in BUILDS.values()]


def event_schema(event: type[Event]) -> Document:
    """Return what an event's data is, and its topic, on which readers rely as much."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "x-topic": str(event.topic)}
    return {**dialect, **without_titles(event.model_json_schema())}


def asyncapi(services: Sequence[Service]) -> Document:
    """Describe the topics, who puts events there and who reads them."""
    topics = [topic for topic in Topic if any(event.topic is topic for event in EVENT_TYPES.values())]
    kafka = KafkaAddress(servers=())
    operations = {f"forward-{channel(topic)}": operation("send", topic, "forwarder", None) for topic in topics} | {
        f"{service.name}-reads-{channel(topic)}": operation(
            "receive", topic, service.name, kafka.group(service.name, topic)
        )
        for service in services
        for topic in service.handlers
    }
    return {
        "asyncapi": "3.0.0",
        "info": info(
            "okgames: events", "What the services tell each other over Kafka, as CloudEvents 1.0 in binary mode."
        ),
        "defaultContentType": "application/json",
        "channels": {channel(topic): channel_of(topic) for topic in topics},
        "operations": operations,
        "components": {
            "messages": {name: message(name, event) for name, event in EVENT_TYPES.items()},
            "schemas": component_schemas(list(EVENT_TYPES.values()))[1],
        },
    }


def channel(topic: str) -> str:
    return topic.split(".")[1]


def channel_of(topic: Topic) -> Document:
    names = [name for name, event in EVENT_TYPES.items() if event.topic is topic]
    plan = load_plans()[topic]
    kafka = {
        "topic": str(topic),
        "partitions": plan.partitions,
        "replicas": plan.replication,
        "bindingVersion": "0.5.0",
    }
    return {
        "address": str(topic),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": kafka},
    }


def operation(action: str, topic: str, who: str, group: str | None) -> Document:
    described: Document = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel(topic)}"},
        "summary": f"{who} {'puts what the outbox holds into' if group is None else 'reads'} {topic}.",
    }
    if group is not None:
        described["bindings"] = {
            "kafka": {"groupId": {"type": "string", "enum": [group]}, "bindingVersion": "0.5.0"},
        }
    return described


def message(name: str, event: type[Event]) -> Document:
    headers = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "The same however often the event comes."},
        "ce_type": {"type": "string", "const": name},
        "ce_source": {"type": "string", "const": str(event.topic)},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it happened."},
    }
    return {
        "name": name,
        "summary": first_sentence(event.__doc__),
        "headers": {"type": "object", "required": list(headers), "properties": headers},
        "payload": {"$ref": COMPONENT.format(model=name)},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "application_key:uid where there is a player."},
                "bindingVersion": "0.5.0",
            }
        },
    }


def openapi(services: Sequence[Service]) -> Document:
    """Describe the routes that services declare, and those that every service has."""
    described = [(service.name, route) for service in services for route in service.routes]
    described += [("every service", route) for route in dead_letters.routes(services)]
    bodies = [body for _, route in described if (body := body_of(route)) is not None]
    references, schemas = component_schemas(list(dict.fromkeys(bodies)))
    paths: Document = {}
    for tag, route in described:
        paths.setdefault(route.path, {})[route.method.lower()] = http_operation(tag, route, references)
    problem: Document = {"type": "object", "required": ["type", "status", "title", "detail"]}
    problem["properties"] = {"type": text(), "status": {"type": "integer"}, "title": text(), "detail": text()}
    page: Document = {"type": "object", "required": ["items", "next"]}
    page["properties"] = {"items": {"type": "array", "items": {"type": "object"}}, "next": {"type": ["string", "null"]}}
    return {
        "openapi": "3.1.0",
        "info": info("okgames: HTTP", "What games, operators and OK ask of the services."),
        "servers": [{"url": "/", "description": "OKGAMES_HTTP, or the entry of a cluster."}],
        "tags": [{"name": name} for name in dict.fromkeys(tag for tag, _ in described)],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": problem, "Page": page} | schemas,
        },
    }


def http_operation(tag: str, route: Route, references: References) -> Document:
    function = function_of(route)
    described: Document = {
        "tags": [tag],
        "operationId": f"{tag}.{function.__qualname__}".replace(" ", "-"),
        "summary": first_sentence(function.__doc__),
        "parameters": [*path_parameters(route.path), *query_parameters(function)],
    }
    body = body_of(route)
    if body is not None:
        content = {"application/json": {"schema": references[body]}}
        described["requestBody"] = {"required": True, "content": content}
    if route.scope is None:
        # OK's callback, which its own page describes; whatever becomes of it, the status is 200.
        content = {reply(form).content_type.split(";")[0]: {} for form in get_args(AnswerFormat)}
        return described | {"security": [{}], "responses": {"200": {"description": "OK's answer.", "content": content}}}
    is_page = any(isinstance(call.func, ast.Name) and call.func.id in PAGES for call in calls_in(function))
    schema = {"$ref": COMPONENT.format(model="Page")} if is_page else {"type": "object"}
    problem = {"application/problem+json": {"schema": {"$ref": COMPONENT.format(model="Problem")}}}
    return described | {
        "security": [{"token": [str(route.scope)]}],
        "responses": {
            "200": {"description": "Done.", "content": {media_type(function): {"schema": schema}}},
            "default": {"description": "Why it was not done.", "content": problem},
        },
    }


def media_type(function: Any) -> str:
    keywords = [keyword for call in calls_in(function) for keyword in call.keywords]
    types = [each.value for each in keywords if each.arg == "content_type"]
    return str(types[0].value) if types and isinstance(types[0], ast.Constant) else "application/json"


def path_parameters(path: str) -> list[Document]:
    return [
        {"name": name, "in": "path", "required": True, "schema": text()} for name in re.findall(r"\{([a-z_]+)\}", path)
    ]


def query_parameters(function: Any) -> list[Document]:
    """Return what a handler takes out of the query, which stands in its code and nowhere else."""
    found: dict[str, Document] = {}
    for node in ast.walk(tree_of(function)):
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[_, ast.Constant(value=str(name))], keywords=keywords) if (
                kind in QUERY_KINDS
            ):
                found[name] = QUERY_KINDS[kind] | bounds(keywords, function)
            case ast.Call(func=ast.Attribute(value=source, attr="get"), args=[ast.Constant(value=str(name)), *_]) if (
                is_query(source)
            ):
                found[name] = text()
            case ast.Subscript(value=source, slice=ast.Constant(value=str(name))) if is_query(source):
                found[name] = text()
    return [{"name": name, "in": "query", "schema": schema} for name, schema in sorted(found.items())]


def is_query(node: ast.expr) -> bool:
    return ast.unparse(node) in {"query", "request.query"}


def bounds(keywords: Sequence[ast.keyword], function: Any) -> Document:
    return {
        keyword.arg: eval(ast.unparse(keyword.value), function.__globals__)  # noqa: S307 - numbers of our own code
        for keyword in keywords
        if keyword.arg is not None
    }


def body_of(route: Route) -> type[BaseModel] | None:
    function = function_of(route)
    for call in calls_in(function):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="model_validate_json")):
                pass
            case ast.Call(args=[ast.Name(id="request"), ast.Name(id=name)]):
                pass
            case _:
                continue
        model = function.__globals__.get(name)
        if isinstance(model, type) and issubclass(model, BaseModel):
            return model
    return None


def function_of(route: Route) -> Any:
    function = getattr(route.handler, "func", route.handler)
    return getattr(function, "__func__", function)


def calls_in(function: Any) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(function)) if isinstance(node, ast.Call))


def tree_of(function: Any) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def component_schemas(models: Sequence[type[BaseModel]]) -> tuple[References, Document]:
    references, document = models_json_schema([(model, "validation") for model in models], ref_template=COMPONENT)
    schemas: Document = document.get("$defs", {})
    return (
        {model: references[model, "validation"] for model in models},
        {name: without_titles(schemas[name]) for name in sorted(schemas)},
    )


def without_titles(schema: Any) -> Any:
    """Leave out the titles, which only repeat the names."""
    if isinstance(schema, list):
        return [without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: without_titles(value) for key, value in each.items()}
        if name == "properties"
        else without_titles(each)
        for name, each in schema.items()
        if name != "title"
    }


def info(title: str, description: str) -> Document:
    return {
        "title": title,
        "version": version("okgames"),
        "description": f"{description} {WRITTEN_BY}",
        "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"} if "HTTP" in title else {"name": "Apache 2.0"},
    }


def first_sentence(doc: str | None) -> str:
    paragraph = inspect.cleandoc(doc or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def text() -> Document:
    return {"type": "string"}


def write_yaml(path: Path, document: Document) -> None:
    path.write_text(
        f"# {WRITTEN_BY}\n" + yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True, width=118)
    )


def plain(document: Document) -> Document:
    """Forget that some strings are enums and some objects occur twice, for which YAML has signs of its own."""
    copy: Document = json.loads(json.dumps(document))
    return copy


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
