import sys
from typing import Final

import typer

from cli import dead_letters

app: Final = typer.Typer(
    name="okgames",
    help="A self-hosted back end for games on OK.ru: from OK's callback to the game's reward.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(dead_letters.app, name="dead-letters", no_args_is_help=True)


def main() -> None:
    """Run the command; exit with 2 for wrong input or configuration and with 1 for a failure."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        # Without arguments the error is the help, which is printed by now, and an empty message.
        if message := error.format_message():
            print(f"okgames: {message}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(code)


@app.command()
def x() -> None:
    pass
