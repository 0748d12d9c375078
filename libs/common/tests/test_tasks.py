import asyncio

import pytest

from okgames.tasks import side_by_side


async def test_what_runs_side_by_side_gives_its_results_in_order() -> None:
    second_has_run = asyncio.Event()

    async def first() -> int:
        await second_has_run.wait()
        return 1

    async def second() -> int:
        second_has_run.set()
        return 2

    assert [1, 2] == await side_by_side([first(), second()])


async def test_the_first_failure_cancels_the_others_and_is_raised_as_it_is() -> None:
    cancelled: list[str] = []

    async def patient() -> None:
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.append("patient")
            raise

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        await side_by_side([patient(), failing()])

    assert ["patient"] == cancelled
