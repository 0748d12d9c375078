from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from cli.books import Difference
from cli.game_server import GameBooks
from cli.ok_books import OkBooks, OkPayment

_TOLD: Final = ("scheduled", "opened", "closed", "winner_drawn")


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OurWinner(_Read):
    uid: str
    prize_oks: int
    is_payer: bool | None


class OurTakings(_Read):
    payers: int
    payments: int
    amount_oks: int


class OurStep(_Read):
    in_time: bool | None


class OurDraw(_Read):
    attempted_at: AwareDatetime | None


class OurPromotion(_Read):
    """Read GET /v1/promotions/{id}."""

    id: UUID
    name: str
    state: str
    opens_at: AwareDatetime
    closes_at: AwareDatetime
    prizes_oks: tuple[int, ...]
    prize_fund_oks: int | None
    takings: OurTakings
    steps: tuple[OurStep, ...]
    draw: OurDraw | None
    winners: tuple[OurWinner, ...]


class OurComment(_Read):
    text: str


class OurAttachment(_Read):
    file_name: str


class OurIssue(_Read):
    """Read GET /v1/jira/issues/{key}."""

    key: str
    status: str
    comments: tuple[OurComment, ...]
    attachments: tuple[OurAttachment, ...]


class OurPost(_Read):
    """Read an item of GET /v1/posts."""

    id: UUID
    kind: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class PromotionRow:
    """Show what is due of a promotion, None where no rule says it, and what each book says, None where it is silent."""

    what: str
    due: str | int | None = None
    ok: str | int | None = None
    okgames: str | int | None = None
    game: str | int | None = None

    @property
    def differs(self) -> bool:
        return len({self.due, self.ok, self.okgames, self.game} - {None}) > 1


def promotion_rows(
    ok: OkBooks, ours: OurPromotion, issues: Sequence[OurIssue], posts: Sequence[OurPost], game: GameBooks
) -> tuple[PromotionRow, ...]:
    """Compare what OK, okgames and the game know of the only promotion."""
    return (
        PromotionRow("state", due="completed", okgames=ours.state),
        PromotionRow("steps done in time", len(ours.steps), okgames=sum(step.in_time is True for step in ours.steps)),
        *_jira(ok, ours, issues),
        *_takings(_day_of(ok, ours), ours),
        *_draw(ok, ours, game),
        *_posts(ok, posts),
        *(PromotionRow(f"told of {kind}", due=1, game=game.kinds[f"promotion.{kind}"]) for kind in _TOLD),
    )


def promotion_differences(rows: Iterable[PromotionRow]) -> list[Difference]:
    """Return the rows in which books differ, or are not as they must be."""
    return [
        Difference("-", "1,000 OKs", _with_due(row), *(_shown(each) for each in (row.ok, row.okgames, row.game)))
        for row in rows
        if row.differs
    ]


def _day_of(ok: OkBooks, ours: OurPromotion) -> list[OkPayment]:
    """Return the promotion's payments: as in all books, what the game accepted counts."""
    return [each for each in ok.payments if each.was_accepted and ours.opens_at <= each.at < ours.closes_at]


def _jira(ok: OkBooks, ours: OurPromotion, issues: Sequence[OurIssue]) -> Iterable[PromotionRow]:
    theirs = ok.jira_issues
    yield PromotionRow("requests in JIRA", 1, len(theirs), len(issues))
    yield PromotionRow(
        "their status", ok=_listed(each.status for each in theirs), okgames=_listed(each.status for each in issues)
    )
    said = Counter(comment.body for each in theirs for comment in each.comments)
    known = Counter(comment.text for each in issues for comment in each.comments)
    yield PromotionRow("comments there", ok=said.total(), okgames=known.total())
    yield PromotionRow("other comments", 0, (said - known).total(), (known - said).total())
    files = [name for each in theirs for name, _ in each.attachments]
    shown = [attachment.file_name for each in issues for attachment in each.attachments]
    yield PromotionRow("screenshots there", 1, len(files), sum(name in files for name in shown))
    yield PromotionRow("prize fund, OKs", due=sum(ours.prizes_oks), okgames=ours.prize_fund_oks or 0)


def _takings(payments: Sequence[OkPayment], ours: OurPromotion) -> Iterable[PromotionRow]:
    payers = {payment.uid for payment in payments}
    yield PromotionRow("payers", ok=len(payers), okgames=ours.takings.payers)
    yield PromotionRow("payments", ok=len(payments), okgames=ours.takings.payments)
    amount_oks = sum(payment.amount_oks for payment in payments)
    yield PromotionRow("OKs paid", ok=amount_oks, okgames=ours.takings.amount_oks)
    yield PromotionRow(
        "winners who paid",
        due=len(ours.prizes_oks),
        ok=sum(winner.uid in payers for winner in ours.winners),
        okgames=sum(winner.is_payer is True for winner in ours.winners),
    )


def _draw(ok: OkBooks, ours: OurPromotion, game: GameBooks) -> Iterable[PromotionRow]:
    is_attempted = ours.draw is not None and ours.draw.attempted_at is not None
    yield PromotionRow("draws", due=1, ok=len(ok.cashback_calls), okgames=int(is_attempted))
    yield PromotionRow(
        "cashback, OKs",
        due=sum(ours.prizes_oks),
        ok=sum(account.paid_oks for account in ok.cashback_accounts),
        okgames=sum(winner.prize_oks for winner in ours.winners),
        game=sum(winner.prize_oks for winner in game.winners),
    )
    yield PromotionRow(
        "winner",
        ok=_listed(winner.uid for winner in ok.winners),
        okgames=_listed(winner.uid for winner in ours.winners),
        game=_listed(winner.uid for winner in game.winners),
    )


def _posts(ok: OkBooks, posts: Sequence[OurPost]) -> Iterable[PromotionRow]:
    published = [post for post in posts if post.state == "published"]
    for kind in ("conditions", "winner"):
        texts = [post.text for post in published if post.kind == kind]
        yield PromotionRow(f"{kind} post", 1, sum(post.text in texts for post in ok.posts), len(texts))
    yield PromotionRow("posts in the group", due=2, ok=len(ok.posts))
    for kind, status in (("rehearsal", "ADMINS_ONLY"), ("notification", "PUBLIC")):
        sent = sum(each.status == status for each in ok.notifications)
        yield PromotionRow(kind, 1, sent, sum(post.kind == kind for post in published))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _with_due(row: PromotionRow) -> str:
    return row.what if row.due is None else f"{row.what}: {row.due} due"


def _shown(value: str | int | None) -> str:
    return "-" if value is None else str(value)
