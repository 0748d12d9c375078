from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiohttp import web

from okgames.database import Database, Tx
from okgames.events import Event, Topic
from okgames.shortcut import Shortcut


class Poisoned(Exception):
    """This event can never be handled; raise it from a handler to park the event at once."""


class Scope(StrEnum):
    """Name what a token allows."""

    ENTITLEMENTS_READ = "entitlements:read"
    PAYMENTS_READ = "payments:read"
    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_WRITE = "deliveries:write"
    ENDPOINTS_READ = "endpoints:read"
    ENDPOINTS_WRITE = "endpoints:write"
    PROMOTIONS_READ = "promotions:read"
    PROMOTIONS_WRITE = "promotions:write"
    POSTS_READ = "posts:read"
    POSTS_WRITE = "posts:write"
    JIRA_READ = "jira:read"
    JIRA_WRITE = "jira:write"
    DEAD_LETTERS_READ = "dead-letters:read"
    DEAD_LETTERS_WRITE = "dead-letters:write"


@dataclass(frozen=True)
class Route:
    """
    Answer one method and path; `scope` is what the token must allow, None where no token is wanted.

    `shortcut` answers GET requests in their plainest form as `handler` would, for what is called too often for it.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    scope: Scope | None
    shortcut: Shortcut | None = None


@dataclass(frozen=True)
class Handler:
    """
    Handle a topic's events of some types in batches; its others are passed over unread.

    `handle` works within a transaction that the caller commits, on events of `types` only. Each key's events come in
    order, and each event once. Where `find_concerned` is given, it returns those of some application_keys whose events
    matter by now; those of the others are passed over too, and leave no trace in the inbox.
    """

    handle: Callable[[Tx, Sequence[Any]], Awaitable[None]]
    types: Collection[type[Event]]
    find_concerned: Callable[[Tx, Collection[str]], Awaitable[Collection[str]]] | None = None


@dataclass(frozen=True)
class Job:
    """
    Do what has fallen due, again and again.

    `run` gets the time and returns True when there is more to do at once. It is also woken after each handled batch
    of the topics in `woken_by` and when the movable clock moves; `every` is the longest real time between two runs.
    With `after_reading` the service's readers have handled everything that was in the log at that time, so that nobody
    lapses whose payment waits there. Several copies of a service run the same jobs at the same time.
    """

    name: str
    run: Callable[[datetime], Awaitable[bool]]
    every: timedelta
    after_reading: bool = False
    woken_by: Collection[Topic] = ()


@dataclass(frozen=True)
class Service:
    """Say what a service consists of; nothing in it runs by itself."""

    name: str
    database: Database
    migrations: Path
    routes: Sequence[Route] = ()
    handlers: Mapping[Topic, Handler] = field(default_factory=dict)
    jobs: Sequence[Job] = ()
    tasks: Sequence[Callable[[], Awaitable[None]]] = ()
