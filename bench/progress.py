import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class Progress:
    """Show what is being measured and what came out: one line that moves on a terminal, else a line each."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console = console
        self._status = status
        self._began = time.perf_counter()

    def doing(self, what: str) -> None:
        if self._status is None:
            self._print(f"{what} ...")
        else:
            self._status.update(what)

    def measured(self, what: str) -> None:
        self._print(what)

    def _print(self, text: str) -> None:
        self._console.print(f"{time.perf_counter() - self._began:6.1f} s  {text}", highlight=False, soft_wrap=True)


@contextmanager
def showing() -> Iterator[Progress]:
    console = Console()
    if not console.is_terminal:
        yield Progress(console, None)
        return
    with console.status("") as status:
        yield Progress(console, status)
