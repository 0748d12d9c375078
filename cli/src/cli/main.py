import sys
from enum import StrEnum
from typing import Annotated, Final

import typer

from cli import dead_letters, deliveries, endpoints, jira, posts, products, promo, tokens, topics
from cli.doctor import doctor
from cli.players import explain, timeline
from cli.reconcile import reconcile
from cli.replay import replay

# Commands import what they run when they run: all services with their libraries take a second, which neither
# --help nor a typing error should wait for.

app: Final = typer.Typer(
    name="okgames",
    help="A self-hosted back end for games on OK.ru: from OK's callback to the game's reward.",
    epilog="The environment (OKGAMES_...) and okgames.toml say what runs where; `check-config` shows both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class ServiceName(StrEnum):
    CALLBACK_GATEWAY = "callback-gateway"
    SUBSCRIPTION_LEDGER = "subscription-ledger"
    NOTIFIER = "notifier"
    FORWARDER = "forwarder"
    PROMO_SCHEDULER = "promo-scheduler"
    JIRA_DESK = "jira-desk"


def main() -> None:
    """Run the command; exit with 2 for wrong input or configuration and with 1 for a failure."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        # Without arguments the error is the help, which is printed by now, and an empty message.
        for line in error.format_message().splitlines():
            print(f"okgames: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:
        print("\nokgames: given up", file=sys.stderr)
        sys.exit(1)
    sys.exit(code)


@app.command()
def up(
    *,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="Run the simulator, which plays OK, in the same process.")
    ] = False,
) -> None:
    """
    Run all services in one process until Ctrl-C.

    The database is brought up to date first. Without OKGAMES_DATABASE_URL, a Postgres of its own is started below
    OKGAMES_DATA_DIR. Where OKGAMES_EVENT_LOG names Kafka, the forwarder runs too.
    """
    from cli import processes

    processes.up(with_simulator=simulator)


@app.command()
def run(
    service: Annotated[
        ServiceName, typer.Argument(metavar="SERVICE", help=", ".join(ServiceName), envvar="OKGAMES_SERVICE")
    ],
) -> None:
    """
    Run one service until Ctrl-C, to have one process for each.

    Run `migrate` before. As many processes of a service as wanted may run side by side. Where OKGAMES_EVENT_LOG names
    Kafka, the forwarder must run too: it carries the events there.
    """
    from cli import processes

    processes.run(service)


@app.command()
def demo(
    *,
    players: Annotated[int, typer.Option("--players", min=1, help="How many players.")] = 200,
    days: Annotated[int, typer.Option("--days", min=1, help="For how many days.")] = 30,
    seed: Annotated[str, typer.Option("--seed", help="Another seed makes other lives.")] = "okgames",
) -> None:
    """
    Play a month of a game's life and compare the books of OK, okgames and the game.

    From ten days on, one of them is a "1,000 OKs" promotion. OK and the game's server are simulated and fail now and
    then; everything else is real. It keeps its own database below var/demo, writes var/demo/report.json, and ends with
    exit code 1 if the books differ.
    """
    from cli.demo import play

    raise typer.Exit(play(players=players, days=days, seed=seed))


@app.command()
def simulator(
    callback_url: Annotated[
        str | None,
        typer.Option(
            "--callback-url",
            metavar="URL",
            help="Where to send callbacks.",
            show_default="http://$OKGAMES_HTTP/ok/callback",
        ),
    ] = None,
) -> None:
    """
    Play OK.ru for the applications of the configuration until Ctrl-C.

    It listens at OKGAMES_SIMULATOR_HTTP: POST /sim/purchase, /sim/subscribe, /sim/unsubscribe, /sim/cashback,
    /sim/clock and /sim/faults; GET /sim/books shows what OK believes; /fb.do is OK's own API. With
    OKGAMES_CLOCK=movable it moves the time of all processes.
    """
    from cli import processes

    processes.simulate(callback_url)


@app.command()
def migrate() -> None:
    """Bring the database up to date. Processes that migrate at the same time wait for each other."""
    from cli import processes

    applied = processes.migrate_all()
    print(f"{applied} steps applied" if applied else "the database is up to date")


@app.command("check-config")
def check_config() -> None:
    """
    Show the configuration as it counts, without secrets.

    Errors name the variable, or the key with its file and line, and end with exit code 2. Warnings do not.
    """
    from cli import configuration

    lines, warnings = configuration.effective()
    print("\n".join(lines))
    for warning in warnings:
        print(f"okgames: warning: {warning}", file=sys.stderr)


app.command()(doctor)
app.command()(explain)
app.command()(timeline)
app.command()(reconcile)
app.command()(replay)
app.add_typer(tokens.app, name="token", no_args_is_help=True)
app.add_typer(promo.app, name="promo", no_args_is_help=True)
app.add_typer(products.app, name="products", no_args_is_help=True)
app.add_typer(jira.app, name="jira", no_args_is_help=True)
app.add_typer(deliveries.app, name="deliveries", no_args_is_help=True)
app.add_typer(endpoints.app, name="endpoints", no_args_is_help=True)
app.add_typer(posts.app, name="posts", no_args_is_help=True)
app.add_typer(dead_letters.app, name="dead-letters", no_args_is_help=True)
app.add_typer(topics.app, name="topics", no_args_is_help=True)
