from dataclasses import fields
from uuid import UUID

from okgames.catalogue import Config
from okgames.database import Tx
from promo_scheduler.domain.discounts import prices_in
from promo_scheduler.domain.draw import WHAT_TO_LOOK_AT
from promo_scheduler.domain.promotion import CALLED_OFF, State
from promo_scheduler.domain.report import (
    AnswerReport,
    DrawReport,
    EvidenceReport,
    FullReport,
    PictureReport,
    report_of,
)
from promo_scheduler.domain.rules_kept import rules_kept
from promo_scheduler.store.draws import DrawRecord, find_draw, find_winners
from promo_scheduler.store.evidence import StoredEvidence, find_evidence
from promo_scheduler.store.promotions import find_days, find_promotion


async def full_report(tx: Tx, config: Config, promotion_id: UUID) -> FullReport | None:
    """Gather all that is known of a promotion, and what the configuration says of its day."""
    promotion = await find_promotion(tx, promotion_id)
    if promotion is None:
        return None
    days = await find_days(tx, promotion.application_key)
    month = [
        day
        for day, state in days
        if state not in CALLED_OFF and (day.year, day.month) == (promotion.day.year, promotion.day.month)
    ]
    app = config.app(promotion.application_key)
    draw = await find_draw(tx, promotion_id)
    short = report_of(promotion)
    return FullReport(
        **{each.name: getattr(short, each.name) for each in fields(short)},
        evidence=[_evidence(each) for each in await find_evidence(tx, promotion_id)],
        draw=None if draw is None else _draw(draw),
        winners=await find_winners(tx, promotion_id),
        rules=rules_kept(promotion, None if app is None else app.promotions.offers_per_month, len(month)),
        warnings=() if app is None else prices_in(app, promotion.opens_at, promotion.closes_at).warnings,
        look_at=WHAT_TO_LOOK_AT if promotion.state is State.UNRESOLVED else (),
    )


def _evidence(stored: StoredEvidence) -> EvidenceReport:
    each, picture = stored.evidence, stored.picture
    path = f"/v1/promotions/{each.promotion_id}/evidence/{each.id}"
    return EvidenceReport(
        each.id,
        each.step,
        each.kind,
        each.text,
        each.by,
        each.happened_at,
        each.recorded_at,
        None if picture is None else PictureReport(path, picture.file_name, picture.media_type, picture.sha256),
    )


def _draw(draw: DrawRecord) -> DrawReport:
    answer = draw.answer
    return DrawReport(
        draw.begun_at,
        draw.begun_by,
        draw.attempted_at,
        draw.answered_at,
        None
        if answer is None
        else AnswerReport(
            answer.status, answer.invocation_error, answer.content_type, answer.body.decode(errors="replace")
        ),
    )
