import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import aiohttp
import structlog
from prometheus_client import Counter

from notifier.domain.publishing import is_token_refused
from notifier.store.access_tokens import claim_tokens, save_refusals, save_tokens
from okgames.catalogue import App
from okgames.database import Database
from okgames.ok_answer import OkApiError
from okgames.ok_api import OkApi, ok_session

TOUCH_EVERY: Final = timedelta(days=1)
"""OK prolongs a token by 30 days whenever it is used, once a day at most."""

_AT_ONCE: Final = 32

TOKENS_REFUSED: Final = Counter("okgames_access_tokens_refused", "Calls whose access token OK refused.", ["app"])

logger = structlog.get_logger()


class TokenKeeper:
    """Keep the applications' access tokens alive, and raise the alarm when OK refuses one."""

    def __init__(self, database: Database, ok_api: str, apps: Mapping[str, App]) -> None:
        self._database = database
        self._ok_api = ok_api
        self._apps = {key: app for key, app in apps.items() if app.access_token is not None}
        self._are_known = False

    async def touch(self, now: datetime) -> bool:
        """Touch tokens that were not touched for a day; return whether more are due."""
        async with self._database.transaction() as tx:
            if not self._are_known:
                await save_tokens(tx, list(self._apps), now)
            keys = await claim_tokens(tx, list(self._apps), now, now + TOUCH_EVERY, _AT_ONCE)
        self._are_known = True
        if not keys:
            return False
        async with ok_session() as session, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._touch(session, key)) for key in keys]
        async with self._database.transaction() as tx:
            await save_refusals(tx, keys, [task.result() for task in tasks], now)
        return len(keys) == _AT_ONCE

    def alarm(self, application_key: str, error: OkApiError) -> None:
        """Tell that a person has to renew a token."""
        TOKENS_REFUSED.labels(application_key).inc()
        logger.error("access_token_refused", application_key=application_key, error=repr(error))

    async def _touch(self, session: aiohttp.ClientSession, application_key: str) -> str | None:
        try:
            await OkApi(session, self._ok_api, self._apps[application_key]).touch_session()
        except OkApiError as error:
            if is_token_refused(error):
                self.alarm(application_key, error)
            return repr(error)
        return None
