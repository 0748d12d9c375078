import sys
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import typer

from cli.tables import JsonOption, print_rows

app: Final = typer.Typer(help="Subscriptions as OK is asked to register them, which is done by e-mail.")

# The commands import subscriptions when they run: the catalogue takes half a second.

AppOption: TypeAlias = Annotated[str | None, typer.Option("--app", metavar="KEY", help="Only of this application_key.")]


class Language(StrEnum):
    RU = "ru"
    EN = "en"


@app.command()
def letter(
    code: Annotated[str, typer.Argument(metavar="PRODUCT", help="The subscription's code.")],
    application_key: AppOption = None,
    language: Annotated[Language, typer.Option("--lang", help="Language of the letter.")] = Language.RU,
) -> None:
    """
    Print the letter that asks OK to register a subscription, from the catalogue.

    What is wrong with it is said on standard error; if OK would refuse it, the exit code is 1.
    """
    from cli import subscriptions

    text, findings = subscriptions.letter_of(code, application_key, language.value)
    print(text)
    for finding in findings:
        print(f"okgames: {finding.level}: {finding.message}", file=sys.stderr)
    raise typer.Exit(subscriptions.code_of(findings))


@app.command()
def check(application_key: AppOption = None, *, as_json: JsonOption = False) -> None:
    """
    List what OK would refuse in the subscriptions of the catalogue, or may refuse.

    If there are errors among it, the exit code is 1; warnings alone are none.
    """
    from cli import subscriptions

    found = subscriptions.check(application_key)
    rows = [
        {"app": name, "product": code, "level": finding.level.value, "finding": finding.message}
        for name, code, finding in found
    ]
    if rows or as_json:
        columns = {"APP": "app", "PRODUCT": "product", "LEVEL": "level", "FINDING": "finding"}
        print_rows(rows, columns, as_json=as_json)
    else:
        print("OK has no reason to refuse a subscription")
    raise typer.Exit(subscriptions.code_of([finding for _, _, finding in found]))
