import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from cli import configuration
from cli.database_examination import examine_database
from cli.failures import Failed, WrongInput
from cli.findings import Finding, Level, warning, well, wrong
from cli.installation import plain_errors, silence_kafka_client
from okgames.config import ConfigError, load_config, secret_files
from okgames.embedded_postgres import embedded_postgres
from okgames.kafka import KafkaAddress
from okgames.log import LogUnavailable
from okgames.postgres_layout import Layout
from okgames.settings import HttpAddress, Settings, SettingsError, load_settings
from okgames.topics import TopicsError, check, load_plans, require_safe

_SECRET_VARIABLES: Final = ("DATABASE_URL", "ADMIN_TOKEN", "SERVICE_TOKEN", "TOKEN")
_ANSWER_SECONDS: Final = 5
_LEAST_FREE: Final = 2**30
_ENOUGH_FREE: Final = 0.1
"""Of the whole disk."""


def examine() -> list[Finding]:
    """Look at everything that can be looked at from here, and change nothing."""
    try:
        settings = load_settings()
    except SettingsError as error:
        return [wrong("environment", line, "set the variable") for line in str(error).splitlines()]
    return [
        *_configuration(),
        *_secrets(settings),
        _disk(settings.data_dir),
        *_database(settings),
        *_kafka(settings),
        asyncio.run(_process(settings.management_http)),
    ]


def _configuration() -> Iterator[Finding]:
    try:
        _, warnings = configuration.effective()
    except WrongInput as error:
        for line in str(error).splitlines():
            yield wrong("configuration", line, "correct the file: okgames check-config")
        return
    yield well("configuration", "can be read and is complete")
    for each in warnings:
        yield warning("configuration", each, "see okgames check-config")


def _secrets(settings: Settings) -> Iterator[Finding]:
    named = [os.environ.get(f"OKGAMES_{name}_FILE") for name in _SECRET_VARIABLES]
    files = {Path(each) for each in named if each}
    try:
        files.update(secret_files(settings.config))
    except (ConfigError, ValueError):
        # What is wrong with the file is said elsewhere.
        files.add(settings.config)
    open_ones = [path for path in sorted(files) if path.exists() and path.stat().st_mode & stat.S_IROTH]
    for path in open_ones:
        yield warning("secrets", f"{path} can be read by every user of this machine", f"chmod o-r {path}")
    if not open_ones:
        yield well("secrets", "no file that holds one can be read by every user")


def _disk(data_dir: Path) -> Finding:
    folder = next(each for each in (data_dir.absolute(), *data_dir.absolute().parents) if each.exists())
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 2**30:.1f} GiB free for {data_dir}"
    if usage.free < _LEAST_FREE:
        return wrong("disk", found, "make room: a database that cannot write answers no callback")
    if usage.free < _ENOUGH_FREE * usage.total:
        return warning("disk", found, "make room")
    return well("disk", found)


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        config = load_config(settings.config)
    except ConfigError:
        config = None
    try:
        with plain_errors(), _postgres(settings) as url:
            if url is None:
                yield warning("database", f"there is none in {settings.data_dir} yet", "okgames up makes it")
            else:
                yield from examine_database(settings.model_copy(update={"database_url": url}), config)
    except Failed as error:
        yield wrong("database", str(error), "see docs/runbook.md, Database out of reach")


@contextmanager
def _postgres(settings: Settings) -> Iterator[str | None]:
    if settings.database_url is not None:
        yield settings.database_url
    elif not Layout(settings.data_dir / "postgres").data.exists():
        yield None
    else:
        with embedded_postgres(settings.data_dir) as url:
            yield url


def _kafka(settings: Settings) -> Iterator[Finding]:
    address = settings.event_log
    if not isinstance(address, KafkaAddress):
        return
    silence_kafka_client()
    try:
        differing = asyncio.run(check(address, load_plans()))
        asyncio.run(require_safe(address))
    except LogUnavailable as error:
        yield wrong("Kafka", str(error), "see docs/runbook.md, Kafka out of reach")
    except TopicsError as error:
        for line in str(error).splitlines()[:-1]:
            yield wrong("topics", line, "okgames topics apply")
    else:
        yield well("Kafka", f"answers at {address}, and its topics lose nothing")
        for each in differing:
            yield warning("topics", str(each), "okgames topics apply" if each.remedy is None else each.remedy)


async def _process(address: HttpAddress) -> Finding:
    # What listens at every address is asked at this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - nothing is bound here
    url = f"http://{HttpAddress(host, address.port)}/readyz"
    timeout = aiohttp.ClientTimeout(_ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            answer = " ".join((await response.text(errors="replace")).split())[:200]
    except (aiohttp.ClientError, TimeoutError) as error:
        found = f"nothing answers at {url}: {str(error) or type(error).__name__}"
        return warning("process", found, "okgames up, or okgames run SERVICE, unless it runs elsewhere")
    if response.ok:
        return well("process", f"ready at {url}")
    return Finding(Level.WRONG, "process", f"{url} answered {response.status}: {answer}", "see its log")
