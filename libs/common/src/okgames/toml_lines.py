import re
from collections.abc import Iterator
from typing import Final, TypeAlias

Key: TypeAlias = tuple[str | int, ...]

_SPACE: Final = re.compile(r"[ \t]*")
_SPACE_AND_COMMENTS: Final = re.compile(r"(?:\s|#[^\n]*)*")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE: Final = re.compile(r"[^,\]}\n#]*")


def lines_of_keys(text: str) -> dict[Key, int]:
    """
    Return the line, from 1, of every table, key and array item of a TOML text that tomllib has accepted.

    tomllib keeps no lines.
    """
    return _Scanner(text).lines


def line_of(lines: dict[Key, int], key: Key) -> int:
    """Return the line of a key, or of the nearest table around it where the key is missing."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


class _Scanner:
    """Walk through a text that is known to be TOML, and so need not be checked again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._items: dict[Key, int] = {}
        self.lines: dict[Key, int] = {}
        self._document()

    def _document(self) -> None:
        table: Key = ()
        self._skip(_SPACE_AND_COMMENTS)
        while self._at < len(self._text):
            begin = self._at
            if self._takes("[["):
                table = self._header(is_array=True)
                self._note(table, begin)
                self._takes("]]")
            elif self._takes("["):
                table = self._header(is_array=False)
                self._note(table, begin)
                self._takes("]")
            else:
                self._pair(table)
            self._skip(_SPACE_AND_COMMENTS)

    def _header(self, *, is_array: bool) -> Key:
        key: Key = ()
        names = list(self._names())
        for name in names[:-1]:
            key = self._last_item((*key, name))
        key = (*key, names[-1])
        if is_array:
            self._items[key] = self._items.get(key, -1) + 1
        return self._last_item(key)

    def _last_item(self, key: Key) -> Key:
        return (*key, self._items[key]) if key in self._items else key

    def _pair(self, table: Key) -> None:
        begin = self._at
        key = table
        for name in self._names():
            key = (*key, name)
            self._note(key, begin)
        self._takes("=")
        self._skip(_SPACE)
        self._value(key)

    def _value(self, key: Key) -> None:
        if self._takes("{"):
            self._skip(_SPACE_AND_COMMENTS)
            while self._goes_on_until("}"):
                self._pair(key)
                self._separator()
        elif self._takes("["):
            self._skip(_SPACE_AND_COMMENTS)
            place = 0
            while self._goes_on_until("]"):
                self._note((*key, place), self._at)
                self._value((*key, place))
                self._separator()
                place += 1
        elif string := _STRING.match(self._text, self._at):
            self._at = string.end()
        else:
            # One character at least, so that a text that is no TOML after all has an end too.
            self._at += 1
            self._skip(_BARE_VALUE)

    def _separator(self) -> None:
        self._skip(_SPACE_AND_COMMENTS)
        self._takes(",")
        self._skip(_SPACE_AND_COMMENTS)

    def _names(self) -> Iterator[str]:
        while True:
            self._skip(_SPACE)
            if string := _STRING.match(self._text, self._at):
                self._at = string.end()
                yield string[0][1:-1]
            else:
                begin = self._at
                self._skip(_BARE_KEY)
                yield self._text[begin : self._at]
            self._skip(_SPACE)
            if not self._takes("."):
                return

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _takes(self, sign: str) -> bool:
        is_next = self._text.startswith(sign, self._at)
        if is_next:
            self._at += len(sign)
        return is_next

    def _goes_on_until(self, sign: str) -> bool:
        return self._at < len(self._text) and not self._takes(sign)

    def _note(self, key: Key, at: int) -> None:
        self.lines.setdefault(key, self._text.count("\n", 0, at) + 1)
