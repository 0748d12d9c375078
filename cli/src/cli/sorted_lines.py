import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cli.comparison import Line, Standing
from cli.failures import Failed

_AT_ONCE: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class SortedLines:
    """Take lines in any order and give them in the order of `Line.place`, in memory that does not grow with them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "create table lines (transaction_id text, standing int, at int, amount int, uid text, product text)"
        )

    def add(self, lines: Iterable[Line]) -> None:
        rows = (
            (
                line.transaction_id,
                line.standing,
                (line.at - _EPOCH) // _MICROSECOND,
                line.amount_oks,
                line.uid,
                line.product,
            )
            for line in lines
        )
        while some := list(islice(rows, _AT_ONCE)):
            self._connection.executemany("insert into lines values (?, ?, ?, ?, ?, ?)", some)

    def __iter__(self) -> Iterator[Line]:
        rows = self._connection.execute(
            "select transaction_id, standing, at, amount, uid, product from lines order by transaction_id, standing, at"
        )
        for transaction_id, standing, at, amount, uid, product in rows:
            yield Line(transaction_id, Standing(standing), _EPOCH + at * _MICROSECOND, amount, uid, product)


@contextmanager
def sorted_lines() -> Iterator[SortedLines]:
    """Give room for lines in a file of its own, which is gone afterwards; raise Failed where the disk is full."""
    with TemporaryDirectory(prefix="okgames-") as folder:
        connection = sqlite3.connect(Path(folder) / "lines", isolation_level=None)
        try:
            # What a crash leaves behind is of no use to anybody, so nothing needs to be safe on disk.
            connection.executescript("pragma journal_mode = off; pragma synchronous = off; begin")
            yield SortedLines(connection)
        except sqlite3.OperationalError as error:
            raise Failed(f"no room to sort in {folder}: {error}") from error
        finally:
            connection.close()
