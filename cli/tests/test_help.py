import subprocess
import sys

import pytest
from command import Command

from cli.main import ServiceName
from cli.processes import BUILDS
from okgames.service import Scope


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (
            [],
            [
                "up",
                "run",
                "demo",
                "simulator",
                "migrate",
                "check-config",
                "doctor",
                "explain",
                "timeline",
                "reconcile",
                "replay",
                "token",
                "deliveries",
                "endpoints",
            ],
        ),
        (["token"], ["create", "list", "revoke"]),
        (["deliveries"], ["list", "show", "resend", "resend-range"]),
        (["endpoints"], ["list", "pause", "resume", "ping"]),
        (["posts"], ["list", "show", "edit", "approve", "published"]),
        (["products"], ["letter", "check"]),
        (["dead-letters"], ["list", "show", "retry"]),
        (["topics"], ["apply", "check"]),
        (["promo"], ["plan", "list", "show", "request", "approve", "decline", "evidence", "draw", "resolve", "cancel"]),
        (["promo"], ["calendar", "evidence-pack"]),
        (["jira"], ["list", "show", "request", "comment", "attach", "record", "sync", "todo", "pack", "done", "fund"]),
    ],
)
def test_help_names_the_commands(program: Command, arguments: list[str], names: list[str]) -> None:
    text = program.prints(*arguments, "--help")

    assert [] == [name for name in names if f" {name} " not in text]


def test_help_names_every_scope(command: Command) -> None:
    text = "".join(command.prints("token", "create", "--help", COLUMNS="1000").split())

    assert [] == [scope for scope in Scope if scope not in text]


def test_every_service_can_be_run() -> None:
    assert set(ServiceName) == {*BUILDS, "forwarder"}


def test_help_waits_for_none_of_the_large_libraries() -> None:
    program = "import sys, cli.main; print({'aiohttp', 'asyncpg', 'pydantic', 'okgames'} & set(sys.modules))"

    assert "set()" == subprocess.check_output([sys.executable, "-c", program], text=True).strip()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["fly"], "No such command 'fly'."),
        (["up", "--fast"], "No such option: --fast"),
        (["run", "nothing"], "Invalid value for 'SERVICE'"),
        (["deliveries", "show"], "Missing argument 'ID'."),
        (["posts", "approve"], "Missing argument 'ID'."),
        (["posts", "edit", "1", "--text-file", "/no/such"], "/no/such: No such file"),
        (["deliveries", "list", "--limit", "0"], "Invalid value for '--limit'"),
        (["token", "create", "game"], "Missing option '--scope'."),
        (["replay", "notifier"], "Missing option '--since'."),
        (["replay", "notifier", "--since", "yesterday"], "--since: yesterday is no time with an offset"),
        (["replay", "mailer", "--since", "2126-03-02T10:00:00Z"], "no such service: mailer; there are"),
        (["replay", "callback-gateway", "--since", "2126-03-02T10:00:00Z"], "callback-gateway reads no topic"),
        (["replay", "notifier", "--since", "2126-03-02T10:00:00Z", "--topic", "t"], "notifier does not read t; it"),
        (["replay", "notifier", "--since", "2012-03-02T10:00:00Z"], "--since: inboxes may have forgotten what was"),
        (["deliveries", "resend-range", "--app=a", "--from=today", "--to=2026-03-02T10:00:00Z"], "--from: today is no"),
    ],
)
def test_wrong_input_is_told_in_one_line_and_ends_with_2(
    command: Command, arguments: list[str], complaint: str
) -> None:
    result = command.run(*arguments)

    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert result.stderr.startswith("okgames: ")
    assert complaint in result.stderr
