import pytest

from jira_desk.domain.report_month import month_of


@pytest.mark.parametrize(
    ("texts", "month"),
    [
        (("report_2026-03.xlsx",), "2026-03"),
        (("report 202603.csv",), "2026-03"),
        (("Отчет_03.2026.xlsx",), "2026-03"),
        (("Backgammon_03_2026_v2.xlsx",), "2026-03"),
        (("Отчёт за март 2026 г.xlsx",), "2026-03"),
        (("отчёт_марта_2026.csv",), "2026-03"),
        (("Report (May 2026).csv",), "2026-05"),
        (("Maya2026.csv",), None),
        (("income-Sep2026.csv",), "2026-09"),
        (("2026 декабрь.xlsx",), "2026-12"),
        (("2026-03-01_2026-03-31.csv",), "2026-03"),
        (("01.02.2026-28.02.2026.csv",), "2026-02"),
        (("2026-03-01_2026-03-30.csv",), None),
        (("report_2026-04-05.csv",), None),
        (("report_20260405.csv", "Отчёт за март 2026"), "2026-03"),
        (("table.xlsx", "Report, March 2026"), "2026-03"),
        (("2026-02.csv", "Report, March 2026"), "2026-02"),
        (("2026-02 and 2026-03.csv", "Report, March 2026"), None),
        (("2026-13.csv",), None),
        (("1234567890_2026.csv",), None),
        (("table.xlsx", ""), None),
    ],
)
def test_a_report_is_of_the_month_that_its_name_or_else_its_task_says(
    texts: tuple[str, ...], month: str | None
) -> None:
    assert month == month_of(*texts)
