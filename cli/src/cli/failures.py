import typer


class WrongInput(typer.TyperException):
    """What the person typed or configured cannot be; nothing was done."""

    exit_code = 2


class Failed(typer.TyperException):
    """What was asked for could not be done."""

    exit_code = 1
