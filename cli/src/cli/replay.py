from typing import Annotated

import typer

from cli.tables import JsonOption, print_rows
from cli.times import time_of


def replay(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Who reads again, such as subscription-ledger.")],
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="From which time on, such as 2026-03-02T10:00:00+03:00."),
    ],
    topic: Annotated[
        str | None,
        typer.Option("--topic", metavar="TOPIC", help="Of this topic.", show_default="every topic that it reads"),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many events that would be.")] = False,
    as_json: JsonOption = False,
) -> None:
    """
    Have a stopped service read events again, from a time on to the newest.

    Nothing happens twice: what the service has handled is in its inbox and is passed over, dead letters too
    (`dead-letters retry` is for those). What is not there is handled when the service starts: after its schema was
    restored from a backup, or where it passed over a type of event that it knows or wants by now.

    TIME is when the events were appended to the log. The service must not be running, on Postgres or on Kafka; with
    --dry-run it may. Before you replay into a restored schema, read "Events once more" in docs/runbook.md.
    """
    from cli import rewinding

    spans = rewinding.replay(service, topic, time_of("--since", since), dry_run=dry_run)
    rows = [
        {"topic": span.topic, "events": span.events, "handled": span.handled, "to_handle": span.events - span.handled}
        for span in spans
    ]
    columns = {"TOPIC": "topic", "EVENTS": "events", "HANDLED BEFORE": "handled", "TO BE HANDLED": "to_handle"}
    print_rows(rows, columns, as_json=as_json)
    if not as_json:
        print("\nnothing was changed" if dry_run else f"\n{service} reads them when it is started")
