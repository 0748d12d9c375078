from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from okgames.http import HttpHandler, Problem, json_response, not_found, read_body, with_problems
from okgames.tables import Duration
from simulator.api import Api
from simulator.domain.api_books import ApiBooks
from simulator.domain.books import Notice
from simulator.domain.callbacks import Player
from simulator.domain.faults import FaultMix
from simulator.domain.goods import NotSold
from simulator.domain.rows import books_page
from simulator.domain.subscriptions import AlreadySubscribed, NotSubscribed
from simulator.jira import MOST_BYTES, Jira
from simulator.pace import Pace
from simulator.platform import Platform
from simulator.stepping import ClockGoesBack, ClockIsTheSystems, Stepper


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlayerAction(_Body):
    application_key: Annotated[str, Field(min_length=1, max_length=64)]
    uid: Annotated[str, Field(pattern=r"^\S{1,64}$")]
    product: Annotated[str, Field(min_length=1, max_length=128)]

    @property
    def player(self) -> Player:
        return Player(self.application_key, self.uid)


class TopUp(_Body):
    application_key: Annotated[str, Field(min_length=1, max_length=64)]
    oks: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]


class ClockMove(_Body):
    advance: Duration | None = None
    to: AwareDatetime | Literal["next"] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "ClockMove":
        if (self.advance is None) == (self.to is None):
            raise ValueError('give either "advance" or "to"')
        return self


def application(
    platform: Platform, stepper: Stepper, pace: Pace, api: Api, api_books: ApiBooks, jira: Jira
) -> web.Application:
    """Return the simulator's own API beside what OK offers to games."""

    async def act(request: web.Request, deed: Callable[[Player, str], Awaitable[Notice]]) -> web.Response:
        action = await read_body(request, PlayerAction)
        try:
            return _concluded(await deed(action.player, action.product))
        except NotSold as error:
            raise Problem(404, "Not sold", str(error)) from error
        except AlreadySubscribed as error:
            raise Problem(409, "Already subscribed", f"{action.uid} has {action.product}") from error
        except NotSubscribed as error:
            raise Problem(409, "Not subscribed", f"{action.uid} does not have {action.product}") from error

    async def purchase(request: web.Request) -> web.Response:
        return await act(request, platform.purchase)

    async def subscribe(request: web.Request) -> web.Response:
        return await act(request, platform.subscribe)

    async def unsubscribe(request: web.Request) -> web.Response:
        return await act(request, platform.unsubscribe)

    async def move_clock(request: web.Request) -> web.Response:
        move = await read_body(request, ClockMove)
        try:
            if move.advance is not None:
                fired = await stepper.advance(move.advance)
            elif move.to is None or move.to == "next":
                fired = await stepper.move_to_next()
            else:
                fired = await stepper.move_to(move.to)
        except ClockGoesBack as error:
            raise Problem(409, "The clock does not go back", "That time is past already.") from error
        except ClockIsTheSystems as error:
            raise Problem(409, "The clock is the system's", str(error.__doc__)) from error
        return json_response({"now": await pace.now(), "fired": fired})

    async def show_clock(_request: web.Request) -> web.Response:
        return json_response({"now": await pace.now(), "next": platform.agenda.next_at})

    async def set_faults(request: web.Request) -> web.Response:
        platform.mischief.mix = await read_body(request, FaultMix)
        return await show_faults(request)

    async def show_faults(_request: web.Request) -> web.Response:
        return json_response(platform.mischief.mix.model_dump(mode="json"))

    async def show_books(_request: web.Request) -> web.Response:
        return json_response(books_page(platform.books, api_books, jira.books))

    async def top_up(request: web.Request) -> web.Response:
        wanted = await read_body(request, TopUp)
        return json_response(api_books.top_up(wanted.application_key, wanted.oks))

    app = web.Application(client_max_size=MOST_BYTES)
    routes: list[tuple[str, str, HttpHandler]] = [
        ("POST", "/sim/purchase", purchase),
        ("POST", "/sim/subscribe", subscribe),
        ("POST", "/sim/unsubscribe", unsubscribe),
        ("POST", "/sim/clock", move_clock),
        ("GET", "/sim/clock", show_clock),
        ("POST", "/sim/faults", set_faults),
        ("GET", "/sim/faults", show_faults),
        ("GET", "/sim/books", show_books),
        ("POST", "/sim/cashback", top_up),
        *api.routes(),
        *jira.routes(),
    ]
    for method, path, handler in routes:
        app.router.add_route(method, path, with_problems(handler))
    app.router.add_route("*", "/{path:.*}", not_found)
    return app


def _concluded(notice: Notice) -> web.Response:
    callback = notice.callback
    return json_response(
        {
            "transaction_id": callback.transaction_id or None,
            "status": notice.status,
            "at": callback.at,
            "ends_at": callback.change and callback.change.ends_at,
            "attempts": notice.attempts,
        }
    )
