import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

import uvloop

from cli import promotion_day
from cli.clients import some_at_once
from cli.company import MIDNIGHT, Company, company_of
from cli.installation import plain_errors
from cli.lives import Action, actions, uids
from cli.progress import Show, showing
from cli.promotion_day import Manager, Scene, purchases
from cli.stage import Stage, stage
from simulator.chance import Chance

DIRECTORY: Final = Path("var/demo")

OUT_FROM: Final = timedelta(days=11, hours=10)
OUT_UNTIL: Final = timedelta(days=11, hours=17)
"""For these seven hours the game's server answers nothing but 500."""

OK_FAULTS: Final = {
    "lost_answers": 0.15,
    "concurrent_duplicates": 0.03,
    "late_duplicates": 0.05,
    "reordered": 0.03,
    "wrong_signature": 0.02,
    "unknown_parameters": 0.1,
    "transaction_id": "mixed",
    "slow": 0.01,
    "slow_seconds": 0.1,
    "refunds": 0.02,
    "card_charges": 0.1,
    "unpaid_renewals": 0.15,
    "closed_profiles": 0.3,
    "cashback_slow": 1.0,
    "jira_lost_answers": 0.3,
    "jira_down": 0.05,
    "jira_errors": 0.05,
    "jira_html": 0.05,
    "jira_too_many": 0.05,
    "jira_unauthorized": 0.02,
    "jira_slow": 0.2,
    "jira_edits": 1.0,
}


def play(*, players: int = 200, days: int = 30, seed: str = "okgames", directory: Path = DIRECTORY) -> int:
    """Play a month of a game's life and compare all books; return 0 only if they agree, else 1."""
    with plain_errors(), stage(directory) as on:
        return uvloop.run(demo(on, players=players, days=days, seed=seed, report_to=directory / "report.json"))


async def demo(on: Stage, *, players: int, days: int, seed: str, report_to: Path) -> int:
    """Run OK, all services and the game's server in this process; return 0 only if their books agree in the end."""
    began = time.perf_counter()
    names = uids(players)
    script = actions(Chance(seed), names, MIDNIGHT, days)
    async with company_of(on, seed) as company:
        manager = Manager(company.ok, company.okgames, MIDNIGHT + promotion_day.FROM)
        scenes: Mapping[datetime, Scene] = {}
        if days >= promotion_day.DAYS:
            scenes = manager.scenes()
            script = sorted([*script, *purchases(names, manager.midnight)])
        await company.ok.set_faults(OK_FAULTS)
        with showing(days) as show:
            await _play_month(company, script, scenes, days, show)
            await company.come_to_rest()
            show(days, *company.counts())
        report = await company.report(names, days, began, manager.promotion_id)
    report.write(report_to)
    return 0 if report.agreement else 1


async def _play_month(
    company: Company, script: Sequence[Action], scenes: Mapping[datetime, Scene], days: int, show: Show
) -> None:
    """Let all actions of one time begin together, after everything that fell due before, and a scene of that time."""
    actions_at = {at: list(group) for at, group in groupby(script, attrgetter("at"))}
    midnights = [MIDNIGHT + timedelta(days=day + 1) for day in range(days)]
    times = {*actions_at, *scenes, *midnights, MIDNIGHT + OUT_FROM, MIDNIGHT + OUT_UNTIL}
    for at in sorted(at for at in times if at <= midnights[-1]):
        await company.ok.move({"to": at.isoformat()})
        company.game.is_out = OUT_FROM <= at - MIDNIGHT < OUT_UNTIL
        if at in scenes:
            await scenes[at]()
        await some_at_once(company.ok.act, actions_at.get(at, []))
        show((at - MIDNIGHT).days, *company.counts())
