from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import get_args

from jira_desk.evidence_client import EvidenceClient
from jira_desk.handlers import Wish, on_promotions
from jira_desk.http.access import AccessApi
from jira_desk.http.errands import ErrandsApi
from jira_desk.http.issues import IssuesApi
from jira_desk.http.projects import ProjectsApi
from jira_desk.http.reports import ReportsApi
from jira_desk.jira_client import JiraClient
from jira_desk.jobs.errands import Running
from jira_desk.jobs.following import Following
from jira_desk.jobs.reports import Fetching
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.events import Topic
from okgames.service import Handler, Job, Service
from okgames.settings import Settings, SettingsError


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Put the jira-desk together; raise SettingsError where a simulation would write to OK's own JIRA."""
    is_followed = any(project.mode == "rest" for project in config.jira.projects)
    if settings.clock == "movable" and config.jira.is_real and is_followed:
        raise SettingsError(f"OKGAMES_CLOCK: movable is for simulations, not together with REST at {config.jira.url}")
    database = Database(settings.resolved_database_url, "jira_desk")
    client = JiraClient(config.jira)
    following = Following(database, clock, config, client)
    running = Running(database, clock, config, client, EvidenceClient(settings))
    fetching = Fetching(database, clock, config, client)
    return Service(
        name="jira-desk",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        routes=[
            *IssuesApi(database, clock, config).routes(),
            *ErrandsApi(database, clock, config).routes(),
            *AccessApi(database, clock).routes(),
            *ReportsApi(database, clock, config).routes(),
            *ProjectsApi(database, clock, config).routes(),
        ],
        handlers={Topic.PROMOTIONS: Handler(partial(on_promotions, clock, config), get_args(Wish))},
        jobs=[
            Job("follow_jira", following.look, every=timedelta(seconds=1), woken_by=[Topic.PROMOTIONS]),
            Job("run_errands", running.look, every=timedelta(seconds=1), woken_by=[Topic.PROMOTIONS]),
            Job("fetch_reports", fetching.look, every=timedelta(seconds=1), woken_by=[Topic.PROMOTIONS]),
        ],
    )
