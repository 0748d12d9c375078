from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from post_world import KEY, PROMOTION, Press, at_press, configured, notification, post

from notifier.http.posts import PostsApi
from okgames.events import Audience, PromotionPost, derive_id
from okgames.http import with_problems
from okgames.service import Scope

CONDITIONS, WINNER = PromotionPost.CONDITIONS, PromotionPost.WINNER
LINK = "https://ok.ru/group/70000000000001/topic/5"


@dataclass
class Person:
    """One who asks the API."""

    session: aiohttp.ClientSession
    press: Press

    async def get(self, path: str = "", status: int = 200) -> Any:
        async with self.session.get(f"/v1/posts{path}") as response:
            assert status == response.status, await response.text()
            return await response.json(content_type=None)

    async def post(self, path: str, body: object = None, status: int = 200) -> Any:
        async with self.session.post(f"/v1/posts{path}", json=body) as response:
            assert status == response.status, await response.text()
            return await response.json(content_type=None)

    async def first(self) -> str:
        return f"/{(await self.get())['items'][0]['id']}"


@asynccontextmanager
async def asking(press: Press) -> AsyncIterator[Person]:
    app = web.Application()
    api = PostsApi(press.database, press.clock)
    app.add_routes([web.route(each.method, each.path, with_problems(each.handler)) for each in api.routes()])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield Person(session, press)
    finally:
        await runner.cleanup()


@pytest.fixture
async def person(database_url: str) -> AsyncIterator[Person]:
    """A person without whose approval nothing goes out."""
    promotions = configured().apps[0].promotions.model_copy(update={"publishing": "confirmed"})
    async with at_press(database_url, configured(promotions=promotions)) as press, asking(press) as one:
        yield one


async def test_a_post_is_previewed_edited_and_approved(person: Person) -> None:
    await person.press.tell(post(CONDITIONS))
    path = await person.first()
    shown = await person.get(path)
    edited = await person.post(f"{path}/edit", {"text": "Better."})
    approved = await person.post(f"{path}/approve", {"by": "Ann"})
    await person.press.publish()

    assert ("proposed", "conditions", str(PROMOTION)) == (shown["state"], shown["kind"], shown["promotion_id"])
    assert "3 марта" in shown["text"]
    assert ("proposed", "Better.") == (edited["state"], edited["text"])
    assert ("approved", "Ann") == (approved["state"], approved["approved_by"])
    assert ["Better."] == [each["text"] for each in await person.press.books("posts")]


async def test_an_approved_post_that_is_edited_wants_another_approval(person: Person) -> None:
    await person.press.tell(post(CONDITIONS))
    path = await person.first()
    await person.post(f"{path}/approve", {"by": "Ann"})
    edited = await person.post(f"{path}/edit", {"text": "Better."})
    await person.press.publish()

    assert ("proposed", None) == (edited["state"], edited["approved_by"])
    assert [] == await person.press.books("posts")


async def test_a_draft_is_published_by_hand_with_its_link(person: Person) -> None:
    await person.press.ok.faults(no_group_right=True)
    await person.press.tell(post(CONDITIONS))
    path = await person.first()
    await person.post(f"{path}/approve", {"by": "Ann"})
    await person.press.publish()
    draft = await person.get(path)
    published = await person.post(f"{path}/published", {"by": "Ann", "url": LINK})
    problem = await person.post(f"{path}/published", {"by": "Bob", "url": LINK}, status=409)

    assert ("draft", "OK has not granted the right: PERMISSION_DENIED") == (draft["state"], draft["reason"])
    assert ("published", "Ann", LINK, None) == tuple(
        published[name] for name in ("state", "published_by", "url", "reason")
    )
    assert "it is published already" == problem["detail"]
    assert ["GroupPostDrafted", "GroupPostDrafted", "GroupPostPublished"] == await person.press.events()


async def test_a_draft_that_is_approved_again_is_tried_again(person: Person) -> None:
    await person.press.ok.faults(no_group_right=True)
    await person.press.tell(post(CONDITIONS))
    path = await person.first()
    await person.post(f"{path}/approve", {"by": "Ann"})
    await person.press.publish()
    await person.press.ok.faults()
    await person.post(f"{path}/edit", {"text": "Better."})
    await person.post(f"{path}/approve", {"by": "Ann"})
    await person.press.publish()

    assert "published" == (await person.get(path))["state"]


async def test_a_notification_that_a_person_sent_has_no_link(person: Person) -> None:
    await person.press.tell(notification())
    path = await person.first()
    published = await person.post(f"{path}/published", {"by": "Ann"})

    assert ("notification", "published", "Ann") == (published["kind"], published["state"], published["published_by"])
    assert ["NotificationSent"] == await person.press.events()


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("edit", {"text": " "}, 409),
        ("edit", {"text": "x" * 201}, 409),
        ("edit", {"text": "x" * 10_001}, 400),
        ("edit", {"text": "\0"}, 409),
        ("edit", {}, 400),
        ("approve", {"by": ""}, 400),
        ("approve", None, 400),
        ("approve", {"by": "Ann", "and": "more"}, 400),
        ("published", {"url": LINK}, 400),
    ],
)
async def test_a_wrong_wish_changes_nothing(person: Person, action: str, body: object, status: int) -> None:
    await person.press.tell(notification())
    path = await person.first()
    before = await person.get(path)
    await person.post(f"{path}/{action}", body, status=status)

    assert before == await person.get(path)


@pytest.mark.parametrize(
    "url", [None, "http://ok.ru/1", "https://ok.ru.example/1", "https://example.com", "https://[", "javascript:1"]
)
async def test_the_link_to_a_post_leads_to_ok(person: Person, url: str | None) -> None:
    await person.press.tell(post(CONDITIONS))
    path = await person.first()

    problem = await person.post(f"{path}/published", {"by": "Ann", "url": url}, status=409)
    assert "give the link to the post on https://ok.ru" == problem["detail"]


async def test_posts_are_listed_by_pages_and_chosen(person: Person) -> None:
    await person.press.tell(post(CONDITIONS), post(WINNER), notification(Audience.ADMINS_ONLY), notification())
    pages, after = [], ""
    while after is not None:
        answer = await person.get(f"?limit=3{after and '&after=' + after}")
        pages.append([item["kind"] for item in answer["items"]])
        after = answer["next"]
    path = await person.first()
    await person.post(f"{path}/approve", {"by": "Ann"})

    assert [["conditions", "winner", "rehearsal"], ["notification"]] == pages
    assert ["conditions"] == [each["kind"] for each in (await person.get("?state=approved"))["items"]]
    assert 4 == len((await person.get(f"?promotion_id={PROMOTION}&application_key={KEY}"))["items"])
    assert [] == (await person.get("?application_key=OTHER"))["items"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?state=lost", 400),
        ("?promotion_id=x", 400),
        ("?limit=0", 400),
        ("/x", 404),
        (f"/{derive_id('no post')}", 404),
    ],
)
async def test_a_wrong_question_about_posts_is_told_to_be_so(person: Person, path: str, status: int) -> None:
    assert status == (await person.get(path, status))["status"]


async def test_nobody_approves_what_is_not_there(person: Person) -> None:
    await person.post(f"/{derive_id('no post')}/approve", {"by": "Ann"}, status=404)


async def test_posts_have_scopes_of_their_own(person: Person) -> None:
    routes = PostsApi(person.press.database, person.press.clock).routes()

    assert {("GET", Scope.POSTS_READ), ("POST", Scope.POSTS_WRITE)} == {(each.method, each.scope) for each in routes}
