from datetime import datetime

from cli.failures import WrongInput


def time_of(option: str, text: str) -> datetime:
    """Read a time that a person typed; raise WrongInput, which names the option, where it has no offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise WrongInput(f"{option}: {text} is no time with an offset, such as 2026-03-02T10:00:00+03:00")
    return time
