"""How a studio that has outgrown one machine moves to a cluster."""

import asyncio
from pathlib import Path

import pytest
from kafka_world import fresh_address
from world import CONFIG, company_of

from okgames.testing import DatabaseTemplates, wait_until

pytestmark = pytest.mark.timeout(600)

UIDS = [str(uid) for uid in range(1, 31)]


async def test_what_one_process_has_not_finished_is_finished_by_the_cluster_and_nothing_happens_twice(
    tmp_path: Path, database_templates: DatabaseTemplates, kafka_servers: list[str]
) -> None:
    with database_templates.empty() as url:
        async with company_of(tmp_path, CONFIG, {"OKGAMES_DATABASE_URL": url}) as company:
            async with company.one_process() as studio:
                await studio.player("purchase", UIDS[0], "gold_100")
                await wait_until(lambda: studio.game.items(UIDS[0]) == {"gold": 100})
                await asyncio.gather(*(studio.player("purchase", uid, "gold_100") for uid in UIDS[1:]))
                await studio.kill()
            async with company.cluster(fresh_address(kafka_servers)) as studio:
                await studio.player("purchase", "31", "gold_100")
                await studio.advance("1h")
                everybody = [*UIDS, "31"]
                await wait_until(lambda: all(studio.game.items(uid) == {"gold": 100} for uid in everybody), timeout=60)

                assert dict.fromkeys(everybody, 1) == {uid: len(studio.game.rewards(uid)) for uid in everybody}
