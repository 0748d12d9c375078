import hashlib
import io
from datetime import timedelta

import pytest
from icalendar import Calendar
from PIL import Image
from promo_world import APP, JIRA, NAME, Refusal, Scheduler, config, msk

from promo_scheduler.domain.discounts import prices_in


def picture(kind: str = "PNG", size: tuple[int, int] = (16, 16)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, "red").save(content, kind)
    return content.getvalue()


async def notified(scheduler: Scheduler) -> str:
    promotion_id = await scheduler.approved()
    await scheduler.tick(msk(3, 10))
    await scheduler.post(f"/{promotion_id}/evidence", step="notification", note="sent")
    return promotion_id


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
async def test_a_screenshot_is_kept_and_goes_to_jira(scheduler: Scheduler, kind: str, media_type: str) -> None:
    promotion_id = await notified(scheduler)
    content = picture(kind)
    shown = await scheduler.upload(
        f"/{promotion_id}/evidence", content, media_type, step="screenshot", file_name="../my screen.png", by="Anna"
    )
    found = shown["evidence"][-1]["picture"]
    (due,) = await scheduler.told("JiraAttachmentDue")

    assert ("_my screen.png", media_type, hashlib.sha256(content).hexdigest()) == (
        found["file_name"],
        found["media_type"],
        found["sha256"],
    )
    assert (due.sha256, str(due.evidence_id)) == (found["sha256"], shown["evidence"][-1]["id"])
    async with scheduler.http.get(found["path"]) as response:
        assert (media_type, content) == (response.content_type, await response.read())
    assert "done" == (await scheduler.step(promotion_id, "screenshot"))["state"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"GIF89a", 400),
        (picture()[:-30], 400),
        (picture()[:40] + b"\0" * 200, 400),
        (picture("GIF"), 400),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (5 * 2**20), 413),
    ],
)
async def test_what_is_no_picture_is_refused_and_changes_nothing(
    scheduler: Scheduler, content: bytes, status: int
) -> None:
    promotion_id = await notified(scheduler)
    before = await scheduler.get(f"/{promotion_id}")
    with pytest.raises(Refusal) as refusal:
        await scheduler.upload(
            f"/{promotion_id}/evidence", content, step="screenshot", file_name="screen.png", by="Anna"
        )

    assert status == refusal.value.status
    assert before == await scheduler.get(f"/{promotion_id}")


async def test_a_picture_without_its_step_is_refused(scheduler: Scheduler) -> None:
    promotion_id = await notified(scheduler)
    with pytest.raises(Refusal) as refusal:
        await scheduler.upload(f"/{promotion_id}/evidence", picture(), file_name="screen.png", by="Anna")

    assert (400, True) == (refusal.value.status, "step" in refusal.value.detail)


async def test_a_promotion_that_kept_every_rule_says_so_of_each(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    one = f"/{promotion_id}/evidence"
    await scheduler.tick(msk(2, 12))
    await scheduler.post(one, step="conditions_post", link="https://ok.ru/1")
    await scheduler.tick(msk(3, 10))
    await scheduler.post(one, step="notification", note="sent")
    await scheduler.post(one, step="placement", note="on the launch screen since midnight", at=msk(3).isoformat())
    await scheduler.upload(one, picture(), step="screenshot", file_name="screen.png", by="Anna")
    rules = {each["rule"]: each["kept"] for each in (await scheduler.get(f"/{promotion_id}"))["rules"]}

    kept = {"day", "window", "morning", "title", "request", "prize_fund", "conditions"}
    assert dict.fromkeys(kept, True) | {"offers": None, "winner": None} == rules


async def test_the_calendar_holds_promotions_and_what_is_still_to_be_done(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    gone = await scheduler.post(application_key=APP, day="2026-03-05")
    await scheduler.post(f"/{gone['id']}/cancel", reason="no")
    async with scheduler.http.get("/v1/promotions/calendar.ics") as response:
        assert "text/calendar" == response.content_type
        found = Calendar.from_ical(await response.read())
    events = {str(each["uid"]): each for each in found.walk("VEVENT")}

    assert msk(3) == events[f"{promotion_id}@okgames"]["dtstart"].dt
    assert msk(3) + timedelta(hours=12) == events[f"{promotion_id}-notification@okgames"]["dtstart"].dt
    assert f"{promotion_id}-request@okgames" not in events
    assert f"{gone['id']}@okgames" not in events


async def test_prices_that_do_not_fit_the_window_are_warned_of(scheduler: Scheduler) -> None:
    [app, _] = config().apps
    fits = prices_in(app, msk(3), msk(4))
    late = prices_in(app, msk(3) - timedelta(hours=1), msk(4) - timedelta(hours=1))
    early = prices_in(app, msk(3) + timedelta(hours=1), msk(4) - timedelta(hours=1))

    assert (1, ()) == (len(fits.discounts), fits.warnings)
    assert () == late.discounts
    assert "changes during the promotion" in late.warnings[0]
    assert "before the promotion begins" in early.warnings[0]


async def test_a_name_that_was_typed_wrong_is_no_confirmation(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.closed()
    for name in ("", NAME.lower(), f"{NAME} "):
        with pytest.raises(Refusal):
            await scheduler.post(f"/{promotion_id}/draw", name=name)
    assert "closed" == await scheduler.state(promotion_id)
    assert JIRA in str(await scheduler.get(f"/{promotion_id}"))
