from dataclasses import dataclass

import pytest
from gateway_world import CONFIG, purchase, signed
from hypothesis import given
from hypothesis import strategies as st

from callback_gateway.domain.journal import Outcome, Received, Stored, first_of_each, settle, storable, to_journal
from callback_gateway.domain.verdict import judge
from okgames.ok_protocol import parse_query


def received(transaction_id: str, amount: str = "50", uid: str = "1") -> Received:
    """A callback at the door of the journal: refused and only looked up if the amount is not the price."""
    query = signed(purchase(transaction_id=transaction_id, amount=amount, uid=uid))
    one = to_journal(judge(parse_query(query), CONFIG.apps[0], caller_is_expected=True), query, "127.0.0.1")
    assert one is not None
    return one


@dataclass(frozen=True)
class Case:
    batch: list[Received]
    stored: list[Received]
    outcomes: list[Outcome]


CASES = {
    "new": Case([received("a"), received("b")], [], [Outcome.NEW, Outcome.NEW]),
    "repeated": Case([received("a")], [received("a")], [Outcome.REPEATED]),
    "repeated within the batch": Case([received("a"), received("a")], [], [Outcome.NEW, Outcome.REPEATED]),
    "conflicting": Case([received("a", uid="2")], [received("a")], [Outcome.CONFLICTING]),
    "conflicting within the batch": Case(
        [received("a"), received("a", uid="2"), received("a")], [], [Outcome.NEW, Outcome.CONFLICTING, Outcome.REPEATED]
    ),
    "refused": Case([received("a", amount="1")], [], [Outcome.REFUSED]),
    "refused now, accepted before": Case([received("a", amount="1")], [received("a", amount="1")], [Outcome.REPEATED]),
    "refused with another content": Case([received("a", amount="1")], [received("a")], [Outcome.CONFLICTING]),
    "refused beside an accepted one": Case(
        [received("a", amount="1"), received("a")], [], [Outcome.CONFLICTING, Outcome.NEW]
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_became_of_a_batch(case: Case) -> None:
    stored = {one.identity.id: Stored(one.identity.content, ack_uncertain=False) for one in case.stored}
    written = {key: one for key, one in first_of_each(case.batch).items() if key not in stored}

    settled = settle(case.batch, written, stored)

    assert case.outcomes == settled.outcomes
    assert case.outcomes.count(Outcome.CONFLICTING) == len(settled.conflicts)
    assert {
        one.identity.id for one, outcome in zip(case.batch, case.outcomes, strict=True) if outcome is Outcome.REPEATED
    } == settled.repeated
    for conflict in settled.conflicts:
        assert conflict.stored_content != conflict.received.identity.content


@given(st.text(), st.binary())
def test_any_query_can_be_stored_and_text_stays_as_it_is(text: str, raw: bytes) -> None:
    storable(raw.decode(errors="surrogateescape")).encode()
    if text.isprintable():
        assert text == storable(text)
