from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from simulator.domain.agenda import Agenda, Refund

START = datetime(2026, 3, 2, tzinfo=UTC)


@given(st.lists(st.integers(0, 20)))
def test_what_falls_due_comes_in_the_order_of_its_time_and_then_of_its_entry(days: list[int]) -> None:
    agenda = Agenda()
    for number, day in enumerate(days):
        agenda.enter(START + timedelta(days=day), Refund(number))

    taken = []
    while due := agenda.take(START + timedelta(days=10)):
        taken.append(due)

    expected = sorted((START + timedelta(days=day), number) for number, day in enumerate(days) if day <= 10)
    assert expected == [(due.at, due.task.number) for due in taken if isinstance(due.task, Refund)]
    later = [START + timedelta(days=day) for day in days if day > 10]
    assert min(later, default=None) == agenda.next_at
