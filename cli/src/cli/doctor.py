import typer

from cli.tables import JsonOption, print_rows


def doctor(*, as_json: JsonOption = False) -> None:
    """
    Look at an installation, and list what is well and what is wrong, with what to do.

    Configuration and files with secrets, the disk, the database with its clock and migrations, Kafka and its topics,
    the process at OKGAMES_MANAGEMENT_HTTP, and what waits for somebody: readers, dead letters, endpoints, deliveries,
    answers that OK may not have heard.

    Nothing is changed and nothing secret is shown. A Postgres below OKGAMES_DATA_DIR that is not running is started
    for the look. If something is wrong, the exit code is 1; warnings do not count.
    """
    from cli import examination
    from cli.findings import Level

    findings = examination.examine()
    rows = [
        {"level": each.level.value, "what": each.what, "found": each.found, "to_do": each.to_do} for each in findings
    ]
    columns = {"LEVEL": "level", "WHAT": "what", "FOUND": "found", "WHAT TO DO": "to_do"}
    print_rows(rows, columns, as_json=as_json)
    raise typer.Exit(int(any(each.level is Level.WRONG for each in findings)))
