import asyncio
from itertools import count
from typing import Final

import orjson
from aiohttp import web

from okgames.catalogue import Config
from okgames.http import HttpHandler
from simulator.chance import Chance
from simulator.domain.api_call import ApiCall, ApiRefusal, verified_call
from simulator.domain.api_methods import CASHBACK, ApiMethods
from simulator.domain.faults import Fault, Mischief
from simulator.pace import Pace

_LOSING: Final = {
    CASHBACK: Fault.CASHBACK_LOST_ANSWERS,
    "mediatopic.post": Fault.POST_LOST_ANSWERS,
    "notifications.sendMass": Fault.NOTIFICATION_LOST_ANSWERS,
    "notifications.sendSimple": Fault.NOTIFICATION_LOST_ANSWERS,
}


class Api:
    """Answer games' calls of OK's API over HTTP: errors too with status 200, told by the header Invocation-Error."""

    def __init__(self, config: Config, pace: Pace, mischief: Mischief, methods: ApiMethods, chance: Chance) -> None:
        self._config = config
        self._pace = pace
        self._mischief = mischief
        self._methods = methods
        self._chance = chance
        self._calls = count()

    def routes(self) -> list[tuple[str, str, HttpHandler]]:
        """Return both forms of an address, for GET and for POST."""
        return [(verb, path, self.answer) for verb in ("GET", "POST") for path in ("/fb.do", "/api/{group}/{name}")]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Do what is asked, at once, and then answer: late, cut short or not at all where a fault strikes."""
        parameters = await request.text() if request.method == "POST" else request.rel_url.raw_query_string
        place = request.match_info
        chance = self._chance.of(next(self._calls))
        now = await self._pace.now()
        try:
            call = verified_call(self._config, parameters, f"{place['group']}.{place['name']}" if place else None)
            body = orjson.dumps(self._methods.perform(call, now, chance))
        except ApiRefusal as refusal:
            return _refused(refusal)
        if await self._loses_answer(call, chance):
            assert request.transport is not None, "the caller is still there"
            request.transport.abort()
        if call.method == CASHBACK and self._mischief.strikes(Fault.CASHBACK_MALFORMED, chance):
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def _loses_answer(self, call: ApiCall, chance: Chance) -> bool:
        if call.method == CASHBACK and self._mischief.strikes(Fault.CASHBACK_SLOW, chance):
            await asyncio.sleep(self._mischief.mix.slow_seconds)
        fault = _LOSING.get(call.method)
        return fault is not None and self._mischief.strikes(fault, chance)


def _refused(refusal: ApiRefusal) -> web.Response:
    body = {"error_code": int(refusal.code), "error_data": None, "error_msg": refusal.message}
    return web.Response(
        body=orjson.dumps(body),
        content_type="application/json",
        charset="utf-8",
        headers={"Invocation-Error": str(int(refusal.code))},
    )
