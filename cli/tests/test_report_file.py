import io
import re
import tracemalloc
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import DEFUSEDXML, Workbook

from cli import report_file
from cli.comparison import Line, Standing
from cli.report_file import WrongReport, read_report
from okgames.report_table import Report

MOSCOW = ZoneInfo("Europe/Moscow")
COLUMNS = {"transaction_id": "Transaction", "time": "Time", "amount": "OKs", "uid": "User", "product": "Product"}
HEADINGS = list(COLUMNS.values())
ROW = ["1_1", "2026-03-02 10:15:30", "50", "500", "gold_100"]
AT = datetime(2026, 3, 2, 7, 15, 30, tzinfo=UTC)
LINE = Line("1_1", Standing.PAID, AT, 50, "500", "gold_100")


def report(**changes: Any) -> Report:
    return Report.model_validate({"columns": COLUMNS} | changes)


def lines(path: Path, **changes: Any) -> list[Line]:
    return list(read_report(path, report(**changes), MOSCOW))


def csv_of(path: Path, *rows: Sequence[str], delimiter: str = ";") -> Path:
    file = path / "report.csv"
    file.write_text("".join(f"{delimiter.join(row)}\n" for row in (HEADINGS, *rows)))
    return file


def xlsx_of(path: Path, *rows: Sequence[object], title: str = "Payments") -> Path:
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for row in (HEADINGS, *rows):
        sheet.append(list(row))
    file = path / "report.xlsx"
    book.save(file)
    return file


def complaint(path: Path, **changes: Any) -> str:
    with pytest.raises(WrongReport) as failure:
        lines(path, **changes)
    return str(failure.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_csv_is_read_by_its_headings(tmp_path: Path, delimiter: str) -> None:
    assert [LINE, LINE] == lines(csv_of(tmp_path, ROW, ROW, delimiter=delimiter))


def test_columns_come_in_any_order_with_others_between(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    file.write_text(
        "\ufeffMonthly report\n\nOKs,Note,Time,Product,Transaction,User\n"
        '50,"a, ""b""\nc",2026-03-02 10:15:30,gold_100,1_1,500\n\n'
    )

    assert [LINE] == lines(file)


def test_columns_that_are_not_mapped_are_not_there(tmp_path: Path) -> None:
    columns = {name: COLUMNS[name] for name in ("transaction_id", "time", "amount")}

    assert [Line("1_1", Standing.PAID, AT, 50)] == lines(csv_of(tmp_path, ROW), columns=columns)


def test_text_in_windows_encoding_is_read_when_it_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    file.write_bytes("Платёж;Дата;Сумма\n1_1;02.03.2026 10:15:30;50\n".encode("cp1251"))
    columns = {"transaction_id": "Платёж", "time": "Дата", "amount": "Сумма"}

    assert [Line("1_1", Standing.PAID, AT, 50)] == lines(file, columns=columns, encoding="cp1251")
    assert "is no text in utf-8: the report's encoding can be set" == complaint(file, columns=columns)


def test_xlsx_is_read_as_csv_is(tmp_path: Path) -> None:
    naive = datetime(2026, 3, 2, 10, 15, 30)  # noqa: DTZ001 - a spreadsheet knows no zones
    rows = [["1_1", naive, 50, "500", "gold_100"], ["1_1", "02.03.2026 10:15:30", 50.0, 500, "gold_100"], []]

    assert [LINE, LINE] == lines(xlsx_of(tmp_path, *rows))


def test_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    file = xlsx_of(tmp_path, ROW)

    assert [LINE] == lines(file, sheet="Payments")
    assert "has no sheet Money" == complaint(file, sheet="Money")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("50", 50),
        ("-50", -50),
        ("\u221250", -50),
        ("+50", 50),
        ("50.00", 50),
        ("50,0", 50),
        ("1 000", 1000),
        ("1\u00a0000", 1000),
        ("1,000", 1000),
        ("1,234,567.00", 1234567),
        ("0", 0),
    ],
)
def test_amounts_are_whole_oks_however_they_are_written(tmp_path: Path, text: str, amount: int) -> None:
    (line,) = lines(csv_of(tmp_path, [*ROW[:2], text, *ROW[3:]]))

    assert (Standing.REFUND if amount < 0 else Standing.PAID, abs(amount)) == (line.standing, line.amount_oks)


@pytest.mark.parametrize(
    "text", ["", "fifty", "49.5", "1.000.000", "1,00,000", "50 OK", "1e3", "9" * 13, "\u0665\u0660"]
)
def test_an_amount_that_is_none_is_told_with_its_row(tmp_path: Path, text: str) -> None:
    assert "row 3: OKs: is no whole number of OKs" == complaint(csv_of(tmp_path, ROW, [*ROW[:2], text, *ROW[3:]]))


@pytest.mark.parametrize(
    ("text", "time_format", "at"),
    [
        ("2026-03-02T10:15:30", None, AT),
        ("2026-03-02T10:15:30+03:00", None, AT),
        ("2026-03-02T07:15:30Z", None, AT),
        ("02.03.2026 10:15", None, AT.replace(second=0)),
        ("02.03.2026", None, datetime(2026, 3, 1, 21, tzinfo=UTC)),
        ("03/02/26 10-15-30", "%m/%d/%y %H-%M-%S", AT),
        ("2026-04-01 00:00:00", None, datetime(2026, 3, 31, 21, tzinfo=UTC)),
    ],
)
def test_times_are_in_the_application_s_zone(tmp_path: Path, text: str, time_format: str | None, at: datetime) -> None:
    (line,) = lines(csv_of(tmp_path, [ROW[0], text, *ROW[2:]]), time_format=time_format)

    assert at == line.at


@pytest.mark.parametrize("text", ["yesterday", "31.02.2026", "1772435730", "0001-01-01", "9999-12-31"])
def test_a_time_that_is_none_is_told_with_its_row(tmp_path: Path, text: str) -> None:
    assert re.fullmatch("row 2: Time: is no time .*", complaint(csv_of(tmp_path, [ROW[0], text, *ROW[2:]])))


def test_a_date_of_a_spreadsheet_is_its_first_moment(tmp_path: Path) -> None:
    (line,) = lines(xlsx_of(tmp_path, ["1_1", date(2026, 3, 2), 50, "500", "gold_100"]))

    assert datetime(2026, 3, 1, 21, tzinfo=UTC) == line.at


def test_a_row_that_sums_up_others_is_passed_over(tmp_path: Path) -> None:
    assert [LINE] == lines(csv_of(tmp_path, ROW, ["", "", "50", "", ""], ["  "]))


def test_a_payment_without_a_transaction_is_an_error(tmp_path: Path) -> None:
    assert "row 2: Transaction: is missing" == complaint(csv_of(tmp_path, ["", *ROW[1:]]))


@pytest.mark.parametrize("transaction_id", [1772435730123456, 1.7724357301234567e18, "1,77E+15", "1.7E15"])
def test_an_id_that_a_spreadsheet_rounded_is_an_error(tmp_path: Path, transaction_id: object) -> None:
    assert "row 2: Transaction: is a number whose last digits may be lost: the column must be text" == complaint(
        xlsx_of(tmp_path, [transaction_id, *ROW[1:]])
    )


def test_short_numbers_are_ids(tmp_path: Path) -> None:
    assert ["17"] * 2 == [line.transaction_id for line in lines(xlsx_of(tmp_path, [17, *ROW[1:]], [17.0, *ROW[1:]]))]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no row among the first 20 has the headings Transaction, Time, OKs, User, Product"),
        (b"a;b;c\n" * 30, "no row among the first 20 has the headings Transaction, Time, OKs, User, Product"),
        (b"Transaction;Time;OKs;User;Product;OKs\n", "row 1: two columns are called OKs"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old workbook: save it as XLSX or CSV"),
        (b"PK\x03\x04", "is no XLSX workbook that can be read"),
        (b"x" * 70_000, "has a line of more than 65536 characters"),
        (b'Transaction;Time;OKs;User;Product\n"1', "is no CSV: unexpected end of data"),
        (b"Transaction;Time;OKs;User;Product\n1;2026-03-02;5;5\x07;x\n", "row 2: User: is no name or id"),
    ],
)
def test_a_file_that_is_no_report_is_told_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "report.csv"
    file.write_bytes(content)

    assert said == complaint(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "No such file or directory" == complaint(tmp_path / "report.csv")


def test_a_quoted_cell_without_an_end_takes_no_more_than_its_bound(tmp_path: Path) -> None:
    file = csv_of(tmp_path)
    with file.open("a") as report_text:
        report_text.write('"')
        report_text.writelines("x" * 1000 + "\n" for _ in range(1000))

    assert "is no CSV: field larger than field limit (131072)" == complaint(file)


def test_bounds_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = csv_of(tmp_path, ROW, ROW)
    monkeypatch.setattr(report_file, "MOST_ROWS", 2)
    assert "has more than 2 rows" == complaint(file)
    assert "has more than 2 rows" == complaint(xlsx_of(tmp_path, ROW, ROW))
    monkeypatch.setattr(report_file, "MOST_BYTES", 10)
    assert "has more than 10 bytes" == complaint(file)


def damaged(file: Path, name: str, content: bytes) -> Path:
    """Put another content in the place of a part of a workbook, or add the part."""
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, old in (parts | {name: content}).items():
            archive.writestr(part, old if part != name else content)
    return file


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = damaged(xlsx_of(tmp_path, ROW), "xl/sharedStrings.xml", b"\0" * (report_file.MOST_STRINGS + 1))
    assert bomb.stat().st_size < 2**20

    tracemalloc.start()
    said = complaint(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "would unpack to more than a report can have" == said
    assert peak < 2**20


def test_a_bomb_of_entities_is_no_workbook(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><x>&e11;</x>'

    assert DEFUSEDXML
    for part in ("xl/workbook.xml", "xl/worksheets/sheet1.xml"):
        assert "is no XLSX workbook that can be read" == complaint(damaged(xlsx_of(tmp_path, ROW), part, bomb.encode()))


def test_rows_far_below_are_not_filled_up_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_file, "MOST_ROWS", 1000)
    file = xlsx_of(tmp_path, ROW)
    with zipfile.ZipFile(file) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    far = sheet.replace(b'<row r="2"', b'<row r="999999999"')
    assert far != sheet

    assert "has more than 1000 rows" == complaint(damaged(file, "xl/worksheets/sheet1.xml", far))


def workbook() -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (HEADINGS, ROW, ROW):
        sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


WORKBOOK = workbook()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(WORKBOOK) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 200))
def test_a_broken_workbook_is_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]], missing: int) -> None:
    content = bytearray(WORKBOOK)
    for place, byte in changes:
        content[place] = byte
    file = tmp_path / "report.xlsx"
    file.write_bytes(b"PK" + content[2 : len(content) - missing])

    with suppress(WrongReport):
        lines(file)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    row = ";".join(ROW)
    with file.open("w") as text:
        text.write(";".join(HEADINGS) + "\n")
        text.writelines(f"{number}{row}\n" for number in range(50_000))

    tracemalloc.start()
    count = sum(1 for _ in read_report(file, report(), MOSCOW))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 50_000 == count
    assert peak < 2**20
