from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import hypothesis.strategies as st
from hypothesis import given
from promo_world import APP, DAY, NAME, PLANNED, app, config, msk

from okgames.events import EVENT_TYPES, PromotionStep
from okgames.ok_answer import Answer
from promo_scheduler.domain import actions
from promo_scheduler.domain.actions import Said, word_on_draw
from promo_scheduler.domain.draw import begin_draw, conclude, not_sent, resolve, unresolved
from promo_scheduler.domain.promotion import Change, EvidenceKind, NotNow, Promotion, State, StepState, Takings
from promo_scheduler.domain.timing import next_at, pass_time

FOLLOWS: Final = {
    "planned": {"requested", "cancelled"},
    "requested": {"approved", "declined", "cancelled"},
    "approved": {"announced", "open", "cancelled"},
    "announced": {"open", "cancelled"},
    "open": {"notified", "closed", "cancelled"},
    "notified": {"closed", "cancelled"},
    "closed": {"drawing", "cancelled"},
    "drawing": {"drawn", "unresolved", "closed"},
    "unresolved": {"drawn", "completed"},
    "drawn": {"published"},
    "published": {"completed"},
    "declined": set(),
    "cancelled": set(),
    "completed": set(),
}
"""Which states may follow which; nothing else is legal."""


@dataclass
class Life:
    """
    One promotion as the database and OK see it: every commit stands, and a killed process forgets the rest.

    `calls` counts what OK was asked to pay.
    """

    promotion: Promotion
    now: datetime = PLANNED
    calls: int = 0
    attempted: bool = False
    answer: Answer | None = None
    states: list[State] = field(default_factory=lambda: [State.PLANNED])
    told: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def commit(self, change: Change) -> None:
        self.promotion = change.promotion
        if self.states[-1] is not self.promotion.state:
            self.states.append(self.promotion.state)
        self.told += [str(event.id) for event in change.events]
        assert all(EVENT_TYPES[event.type] is type(event) for event in change.events)

    def tick(self) -> None:
        change = pass_time(self.promotion, self.now, ())
        passed = {"PromotionOpened": State.OPEN, "PromotionClosed": State.CLOSED}
        # One tick may go through several states; its events name them.
        self.states += [passed[event.type] for event in change.events if event.type in passed]
        self.commit(change)
        again = next_at(self.promotion)
        assert again is None or again > self.now, "a tick that leaves something to do would never end"

    def act(self, action: str) -> None:
        said = Said("Anna", EvidenceKind.LINK, "https://ok.ru", self.now)
        word = word_on_draw(self.promotion, said, self.now)
        try:
            match action:
                case "request":
                    change = actions.request(self.promotion, said, None, self.now)
                case "approve":
                    change = actions.approve(self.promotion, said, self.now)
                case "decline":
                    change = actions.decline(self.promotion, said, self.now)
                case "cancel":
                    change = actions.cancel(self.promotion, "Anna", "no", self.now)
                case "fund":
                    change = actions.confirm_fund(self.promotion, said, 1000, self.now)
                case "draw":
                    change = begin_draw(self.promotion, NAME, "Anna", self.now)
                case "resolve":
                    change = resolve(self.promotion, ["501"], word).change
                case "resolve_nobody":
                    change = resolve(self.promotion, [], word).change
                case step:
                    change = actions.show(self.promotion, PromotionStep(step), said, self.now)
        except NotNow as error:
            self.reasons.append(str(error))
        else:
            self.commit(change)

    def run_draw(self, fault: str) -> None:
        """Do what the job does, up to where the fault stops it."""
        said = Said("okgames", EvidenceKind.ANSWER, "x", self.now)
        word = word_on_draw(self.promotion, said, self.now)
        if self.promotion.state is not State.DRAWING:
            return
        if self.answer is not None:
            self.commit(conclude(self.promotion, self.answer, self.now, word).change)
            return
        if self.attempted:
            self.commit(unresolved(self.promotion, "abandoned", self.now, word).change)
            return
        self.attempted = True
        if fault == "not_sent":
            self.attempted = False
            self.commit(not_sent(self.promotion, self.now + timedelta(minutes=5), word))
            return
        if fault == "killed_before_the_call":
            return
        self.calls += 1
        if fault == "killed_after_the_call":
            return
        if fault == "no_answer":
            self.commit(unresolved(self.promotion, "none", self.now, word).change)
            return
        body = {"garbage": b"<html>", "nobody": b'{"users": []}'}.get(fault, b'{"users": [501]}')
        self.answer = Answer(200, None, "application/json", body)
        if fault != "killed_after_the_answer":
            self.commit(conclude(self.promotion, self.answer, self.now, word).change)


MOVES = st.one_of(
    st.tuples(
        st.just("act"),
        st.sampled_from(
            ["request", "approve", "decline", "cancel", "fund", "draw", "draw", "resolve", "resolve_nobody"]
            + [step.value for step in PromotionStep]
        ),
    ),
    st.tuples(
        st.just("draw"),
        st.sampled_from(
            [
                "fine",
                "not_sent",
                "killed_before_the_call",
                "killed_after_the_call",
                "no_answer",
                "garbage",
                "nobody",
                "killed_after_the_answer",
            ]
        ),
    ),
    st.tuples(st.just("wait"), st.sampled_from(["1m", "1h", "5h", "1d", "2d", "until_open", "until_closed"])),
    st.tuples(st.just("pay"), st.just("")),
    st.tuples(st.just("tick"), st.just("")),
)
WAITS: Final = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "5h": timedelta(hours=5)} | {
    "1d": timedelta(days=1),
    "2d": timedelta(days=2),
}


def play(moves: list[tuple[str, str]], *, automatic: bool) -> Life:
    settings_ = {"draw": "automatic"} if automatic else {}
    [game] = config(app(APP, **settings_)).apps
    life = Life(actions.plan(game, DAY, "Anna", PLANNED, 0).promotion)
    for kind, what in moves:
        match kind:
            case "act":
                life.act(what)
            case "draw":
                life.run_draw(what)
            case "wait":
                until = {"until_open": msk(3, 5), "until_closed": msk(4, 1)}.get(what, life.now)
                life.now = max(life.now + WAITS.get(what, timedelta()), until)
            case "pay":
                life.promotion = _with_a_payer(life.promotion)
            case _:
                life.tick()
    return life


def _with_a_payer(promotion: Promotion) -> Promotion:
    return replace(promotion, takings=Takings(1, 1, 50))


# What brings a promotion near its draw, so that the random moves after it are about the draw.
NEAR_THE_DRAW: Final = [
    ("act", "request"),
    ("act", "approve"),
    ("act", "fund"),
    ("pay", ""),
    ("wait", "until_closed"),
    ("tick", ""),
]


@given(st.booleans(), st.booleans(), st.lists(MOVES, max_size=40))
def test_whatever_happens_the_states_are_legal_and_ok_is_asked_to_pay_once_at_most(
    automatic: bool, is_near: bool, moves: list[tuple[str, str]]
) -> None:
    life = play([*(NEAR_THE_DRAW if is_near else []), *moves], automatic=automatic)

    assert life.calls <= 1
    assert [] == [(a, b) for a, b in pairwise(life.states) if b not in FOLLOWS[a]]
    assert len(set(life.told)) == len(life.told), "nothing is told twice"
    assert [] == [reason for reason in life.reasons if not reason.endswith(".")], "reasons are sentences for people"
    for step in life.promotion.steps.values():
        assert (step.done_at is not None) == (step.state is StepState.DONE)


@given(st.booleans(), st.lists(MOVES, max_size=20))
def test_a_draw_that_has_begun_ends_drawn_or_unresolved_and_never_stays_open(
    automatic: bool, moves: list[tuple[str, str]]
) -> None:
    life = play([*NEAR_THE_DRAW, ("act", "draw"), *moves], automatic=automatic)
    for _ in range(3):
        life.run_draw("fine")

    assert life.promotion.state is not State.DRAWING
    assert life.calls == 0 or life.promotion.state in {
        State.DRAWN,
        State.UNRESOLVED,
        State.PUBLISHED,
        State.COMPLETED,
    }
