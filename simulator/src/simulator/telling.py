import asyncio
from collections.abc import Mapping

from okgames.catalogue import App, Config
from simulator.caller import Caller
from simulator.chance import Chance
from simulator.domain.attempts import (
    Answer,
    Attempt,
    Conclusion,
    Outcome,
    Policy,
    Silence,
    attempt,
    conclusion,
)
from simulator.domain.books import ExtraCalls, Notice
from simulator.domain.callbacks import Callback
from simulator.domain.faults import Fault, Mischief
from simulator.domain.wire import forged_query, signed_query
from simulator.pace import Pace


class Teller:
    """Tell the game of notices, with the attempts that the policy allows and the faults that strike."""

    def __init__(
        self,
        config: Config,
        caller: Caller,
        pace: Pace,
        policy: Policy,
        mischief: Mischief,
        extra_calls: ExtraCalls,
    ) -> None:
        self._config = config
        self._caller = caller
        self._pace = pace
        self._policy = policy
        self._mischief = mischief
        self._extra_calls = extra_calls

    async def tell(self, notice: Notice) -> tuple[tuple[Attempt, ...], Conclusion]:
        """Call until the game has answered or the attempts are used up; the answers lost in between stay secret."""
        app = self._app(notice.callback)
        parameters = notice.callback.parameters(app.timezone)
        told_before = len(notice.attempts)
        attempts: list[Attempt] = []
        concluded = None
        while concluded is None:
            chance = notice.chance.of("attempt", told_before + len(attempts))
            at = await self._pace.now()
            if attempts:
                at = max(at, attempts[-1].at + self._policy.interval)
                await self._pace.wait_until(at)
            answer = await self._call(app, parameters, chance, is_first=told_before + len(attempts) == 0)
            attempts.append(attempt(answer, at, is_lost=self._strikes(Fault.LOST_ANSWERS, chance)))
            concluded = conclusion(attempts, self._policy)
        return tuple(attempts), concluded

    async def repeat(self, notice: Notice) -> None:
        """Make a call again that the game accepted long ago; it must give the same answer."""
        app = self._app(notice.callback)
        query = _signed(app, notice.callback.parameters(app.timezone), notice.chance.of("repeat"))
        self._extra_calls.duplicates += 1
        answer = attempt(await self._caller.call(query), await self._pace.now(), is_lost=False)
        if answer.outcome is Outcome.REFUSED and answer.invocation_error in self._policy.final:
            self._extra_calls.duplicates_answered_differently += 1

    async def _call(
        self, app: App, parameters: Mapping[str, str], chance: Chance, *, is_first: bool
    ) -> Answer | Silence:
        delay = self._mischief.mix.slow_seconds if self._strikes(Fault.SLOW, chance) else 0
        query = _signed(app, parameters, chance)
        if not is_first:
            return await self._caller.call(query, delay=delay)
        if self._strikes(Fault.WRONG_SIGNATURE, chance):
            await self._forge(parameters, chance)
        if self._strikes(Fault.CONCURRENT_DUPLICATES, chance):
            return await self._call_twice(query, _signed(app, parameters, chance.of("twin")))
        return await self._caller.call(query, delay=delay)

    async def _call_twice(self, query: str, twin: str) -> Answer | Silence:
        self._extra_calls.duplicates += 1
        answers = await asyncio.gather(self._caller.call(query), self._caller.call(twin))
        now = await self._pace.now()
        one, other = (attempt(answer, now, is_lost=False) for answer in answers)
        final = [each.invocation_error in self._policy.final for each in (one, other)]
        if any(final) and Outcome.ACCEPTED in {one.outcome, other.outcome}:
            self._extra_calls.duplicates_answered_differently += 1
        return answers[0]

    async def _forge(self, parameters: Mapping[str, str], chance: Chance) -> None:
        forged = {**parameters, "transaction_id": f"999999_{parameters['call_id']}"}
        self._extra_calls.forgeries += 1
        answer = await self._caller.call(forged_query(forged, chance.of("forger")))
        if attempt(answer, await self._pace.now(), is_lost=False).was_accepted:
            self._extra_calls.forgeries_accepted += 1

    def _strikes(self, fault: Fault, chance: Chance) -> bool:
        return self._mischief.strikes(fault, chance)

    def _app(self, callback: Callback) -> App:
        app = self._config.app(callback.player.application_key)
        assert app is not None, "a notice is opened for an app of the configuration only"
        return app


def _signed(app: App, parameters: Mapping[str, str], chance: Chance) -> str:
    return signed_query(parameters, app.secret_keys[0].get_secret_value(), chance)
