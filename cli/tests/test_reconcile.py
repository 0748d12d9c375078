import csv
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import pytest
from command import Command
from openpyxl import Workbook
from world import APPLICATION_KEY

from cli.comparison import Line, Month, Standing, compare
from cli.sorted_lines import sorted_lines

MOSCOW = ZoneInfo("Europe/Moscow")
COLUMNS = {
    "Transaction": "transaction_id",
    "Time": "occurred_at",
    "OKs": "amount_oks",
    "User": "uid",
    "Product": "product",
}
REPORT = """
[apps.report]
columns = { transaction_id = "Transaction", time = "Time", amount = "OKs", uid = "User", product = "Product" }
"""


class Studio:
    """A running system whose clock stands at the end of a January."""

    def __init__(self, command: Command, year: int) -> None:
        self.command = command
        self.january, self.february = f"{year}-01", f"{year}-02"

    async def sim(self, path: str, body: dict[str, Any]) -> Any:
        url = f"http://{self.command.environment['OKGAMES_SIMULATOR_HTTP']}/sim/{path}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            assert 200 == response.status, await response.text()
            return await response.json()

    async def purchase(self, uid: str = "500", product: str = "gold_100") -> str:
        done = await self.sim("purchase", {"application_key": APPLICATION_KEY, "uid": uid, "product": product})
        assert "completed" == done["status"]
        transaction_id: str = done["transaction_id"]
        return transaction_id

    async def ours(self, month: str) -> list[dict[str, Any]]:
        month_read = Month.read(month, MOSCOW)
        url = f"http://{self.command.environment['OKGAMES_HTTP']}/v1/payments"
        query = {
            "application_key": APPLICATION_KEY,
            "from": month_read.begins.isoformat(),
            "to": month_read.ends.isoformat(),
        }
        headers = {"Authorization": f"Bearer {self.command.environment['OKGAMES_ADMIN_TOKEN']}"}
        async with aiohttp.ClientSession() as session, session.get(url, params=query, headers=headers) as response:
            items: list[dict[str, Any]] = (await response.json())["items"]
            return items

    async def forget(self, transaction_id: str) -> None:
        connection = await asyncpg.connect(self.command.environment["OKGAMES_DATABASE_URL"])
        try:
            await connection.execute(
                "delete from callback_gateway.callbacks where query like $1", f"%transaction_id={transaction_id}%"
            )
        finally:
            await connection.close()

    def reconcile(self, month: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the sums of the month."""
        result = self.command.run("reconcile", "--app", APPLICATION_KEY, "--month", month, "--json", *arguments)
        assert "" == result.stderr
        return result.returncode, json.loads(result.stdout.splitlines()[-1])

    def differences(self, month: str) -> list[dict[str, str]]:
        path = self.command.directory / "var" / "reconcile" / f"{APPLICATION_KEY}-{month}.csv"
        with path.open() as file:
            return list(csv.DictReader(file))


@pytest.fixture
async def studio(command: Command) -> AsyncIterator[Studio]:
    config = command.directory / "okgames.toml"
    config.write_text(config.read_text().replace("\n[[apps.endpoints]]", f"{REPORT}\n[[apps.endpoints]]"))
    async with command.running("up", "--simulator"):
        one = Studio(command, datetime.now(MOSCOW).year + 1)
        await one.sim("clock", {"to": f"{one.january}-31T23:50:00+03:00"})
        yield one


def report_of(studio: Studio, items: list[dict[str, Any]]) -> Path:
    path = studio.command.directory / "report.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(COLUMNS)
        writer.writerows([item[field] for field in COLUMNS.values()] for item in items)
    return path


def workbook_of(studio: Studio, items: list[dict[str, Any]]) -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(COLUMNS))
    for item in items:
        at = datetime.fromisoformat(item["occurred_at"]).astimezone(MOSCOW).replace(tzinfo=None)
        sheet.append([at if field == "occurred_at" else item[field] for field in COLUMNS.values()])
    path = studio.command.directory / "report.xlsx"
    book.save(path)
    return path


async def test_books_of_a_month_agree_with_ok_s_statistics_and_reports(studio: Studio) -> None:
    for uid in ("500", "501", "502"):
        await studio.purchase(uid)
    await studio.sim("clock", {"advance": "10m"})
    await studio.purchase("503", "gold_500")

    for month, count, oks in ((studio.january, 3, 150), (studio.february, 1, 200)):
        ours = await studio.ours(month)
        assert count == len(ours)
        for report in ([], ["--report", str(report_of(studio, ours))], ["--report", str(workbook_of(studio, ours))]):
            code, sums = studio.reconcile(month, *report)

            assert (0, count, oks) == (code, sums["our_count"], sums["our_oks"])
            assert (count, oks, 0) == (sums["their_count"], sums["their_oks"], sums["differences"])
            assert [] == studio.differences(month)


async def test_what_differs_from_ok_s_statistics_is_found(studio: Studio) -> None:
    forgotten = await studio.purchase("500")
    await studio.purchase("501")
    await studio.forget(forgotten)

    code, sums = studio.reconcile(studio.january)

    assert (1, 1, 2, 1) == (code, sums["our_count"], sums["their_count"], sums["differences"])
    assert [("only theirs", forgotten, "500")] == [
        (row["difference"], row["transaction_id"], row["their_uid"]) for row in studio.differences(studio.january)
    ]


async def test_a_refund_is_told_and_is_no_difference(studio: Studio) -> None:
    await studio.sim("faults", {"refunds": 1.0})
    await studio.purchase("500")
    # OK gives the money back some time later, which may be in the next month.
    await studio.sim("clock", {"advance": "7d"})

    results = [studio.reconcile(month) for month in (studio.january, studio.february)]

    assert [0, 0] == [code for code, _ in results]
    assert 50 == sum(sums["refund_oks"] for _, sums in results)
    assert ["refund"] == [
        row["difference"] for month in (studio.january, studio.february) for row in studio.differences(month)
    ]


async def test_every_damage_of_a_report_is_found(studio: Studio) -> None:
    for number in range(5):
        await studio.purchase(str(500 + number))
    first, second, third, fourth, fifth = await studio.ours(studio.january)
    changed = {**second, "amount_oks": 49}
    stranger = {**third, "transaction_id": "9_9", "uid": "999"}
    report = report_of(studio, [changed, third, third, fourth, {**fifth, "uid": "1"}, stranger])

    code, sums = studio.reconcile(studio.january, "--report", str(report))

    assert (1, 5, 6, 5) == (code, sums["our_count"], sums["their_count"], sums["differences"])
    assert {
        ("only ours", first["transaction_id"], ""),
        ("differing", second["transaction_id"], "amount"),
        ("twice in theirs", third["transaction_id"], ""),
        ("differing", fifth["transaction_id"], "uid"),
        ("only theirs", "9_9", ""),
    } == {(row["difference"], row["transaction_id"], row["fields"]) for row in studio.differences(studio.january)}


async def test_a_person_reads_a_table_and_where_the_rest_is(studio: Studio) -> None:
    await studio.purchase()
    chosen = str(studio.command.directory / "differing.csv")
    arguments = ("reconcile", "--app", APPLICATION_KEY, "--month", studio.january, "--differences", chosen)

    assert f"the books of {studio.january} agree\n" in studio.command.prints(*arguments)
    result = studio.command.run(*arguments, "--report", str(report_of(studio, [])))

    assert (1, "") == (result.returncode, result.stderr)
    assert f"the books of {studio.january} differ: 1 only ours: {chosen}\n" in result.stdout
    assert "OUR OKS" in result.stdout
    assert 2 == len((studio.command.directory / "differing.csv").read_text().splitlines())


async def test_a_report_that_is_kept_is_compared_with_where_no_file_is_given(studio: Studio) -> None:
    for uid in ("500", "501"):
        await studio.purchase(uid)
    ours = await studio.ours(studio.january)
    command, report = studio.command, report_of(studio, ours[:1])
    assert "OK's statistics" == studio.reconcile(studio.january)[1]["compared_with"]
    command.prints("jira", "reports", "keep", "REPORT-1", str(report), "--month", studio.january)
    code, sums = studio.reconcile(studio.january)
    assert (1, 1, "report.csv of REPORT-1") == (code, sums["their_count"], sums["compared_with"])
    # OK corrects its report, and puts a table of something else beside it.
    table = report.with_name("play time.csv")
    table.write_text("User;Minutes\n500;70\n")
    for path in (workbook_of(studio, ours), table):
        command.prints("jira", "reports", "keep", "REPORT-1", str(path), "--month", studio.january)
    code, sums = studio.reconcile(studio.january)
    assert (0, 2, "report.xlsx of REPORT-1") == (code, sums["their_count"], sums["compared_with"])

    assert "OK's statistics" == studio.reconcile(studio.january, "--statistics")[1]["compared_with"]
    assert str(report) == studio.reconcile(studio.january, "--report", str(report))[1]["compared_with"]
    assert "OK's statistics" == studio.reconcile(studio.february)[1]["compared_with"]


async def test_a_kept_report_that_is_broken_is_told_by_its_name(studio: Studio) -> None:
    broken = workbook_of(studio, [])
    broken.write_bytes(broken.read_bytes()[:-200])
    studio.command.prints("jira", "reports", "keep", "REPORT-1", str(broken), "--month", studio.january)

    result = studio.command.run("reconcile", "--app", APPLICATION_KEY, "--month", studio.january)

    assert (2, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("okgames: report.xlsx of REPORT-1: ")
    assert result.stderr.endswith(".xlsx: is no XLSX workbook that can be read\n")


async def test_ok_out_of_reach_is_a_failure_that_leaves_the_last_file(studio: Studio) -> None:
    chosen = studio.command.directory / "differing.csv"
    chosen.write_text("before")
    await studio.sim("faults", {"api_errors": 1.0})

    result = studio.command.run(
        "reconcile", "--app", APPLICATION_KEY, "--month", studio.january, "--differences", str(chosen)
    )

    assert (1, "") == (result.returncode, result.stdout)
    assert "OK does not tell the transactions of" in result.stderr.splitlines()[-1]
    assert ["before"] == [chosen.read_text()]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--app", "NOBODY", "--month", "2026-03"], "the configuration has no application NOBODY"),
        (["--app", APPLICATION_KEY, "--month", "March"], "--month: March must be a month, such as 2026-03"),
        (["--app", APPLICATION_KEY, "--month", "2026-03", "--report", "a.csv"], "Backgammon has no table report"),
        (["--app", APPLICATION_KEY], "Missing option '--month'."),
    ],
)
def test_what_cannot_be_compared_is_wrong_input(command: Command, arguments: list[str], complaint: str) -> None:
    result = command.run("reconcile", *arguments)

    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert complaint in result.stderr


def test_a_report_that_cannot_be_read_is_told_with_its_row(program: Command) -> None:
    config = program.directory / "okgames.toml"
    config.write_text(config.read_text().replace("\n[[apps.endpoints]]", f"{REPORT}\n[[apps.endpoints]]"))
    (program.directory / "report.csv").write_text("Transaction;Time;OKs;User;Product\n1;today;50;500;gold_100\n")

    result = program.run("reconcile", "--app", APPLICATION_KEY, "--month", "2026-03", "--report", "report.csv")

    assert (2, "") == (result.returncode, result.stdout)
    assert "okgames: report.csv: row 2: Time: is no time such as 2031-12-24 17:48:59\n" == result.stderr


def test_memory_does_not_grow_with_the_books(soak: bool) -> None:
    count = 1_000_000 if soak else 50_000
    march = Month.read("2026-03", MOSCOW)

    def book(*, without: int) -> Iterator[Line]:
        for number in reversed(range(count)):
            if number != without:
                at = march.begins + timedelta(seconds=number)
                yield Line(f"{number}_1772435730123", Standing.PAID, at, 50, f"{number % 1000}", "gold_100")

    tracemalloc.start()
    found: list[str] = []
    with sorted_lines() as ours, sorted_lines() as theirs:
        ours.add(book(without=7))
        theirs.add(book(without=8))
        days = compare(ours, theirs, march, lambda difference: found.append(difference.kind))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ["only theirs", "only ours"] == found
    assert count - 1 == sum(day.ours.count for day in days.values())
    assert peak < 2**24
