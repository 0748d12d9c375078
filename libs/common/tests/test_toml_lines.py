import tomllib
from typing import Final

from okgames.toml_lines import line_of, lines_of_keys

ODD: Final = '''\
a.b."c.d" = [1, # not ] the end
  { q = "]", w = 1979-05-27 07:32:00 }, """
"" and ] " """, [ ], ]
x = {}
[ t . u ]
k = \'\'\'[y]
z = 1\'\'\'
[[t.several]]
[[t.several]]
  [t.several.sub]
  "z # z" = -1.5e3
  [[t.several.more]]
  z = true# comment
'''


def test_the_lines_of_keys_are_found_in_every_way_of_writing_them():
    tomllib.loads(ODD)

    lines = lines_of_keys(ODD)

    assert {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "b", "c.d"): 1,
        ("a", "b", "c.d", 0): 1,
        ("a", "b", "c.d", 1): 2,
        ("a", "b", "c.d", 1, "q"): 2,
        ("a", "b", "c.d", 1, "w"): 2,
        ("a", "b", "c.d", 2): 2,
        ("a", "b", "c.d", 3): 3,
        ("x",): 4,
        ("t", "u"): 5,
        ("t", "u", "k"): 6,
        ("t", "several", 0): 8,
        ("t", "several", 1): 9,
        ("t", "several", 1, "sub"): 10,
        ("t", "several", 1, "sub", "z # z"): 11,
        ("t", "several", 1, "more", 0): 12,
        ("t", "several", 1, "more", 0, "z"): 13,
    } == lines
    assert 9 == line_of(lines, ("t", "several", 1, "missing", 3))
    assert 1 == line_of(lines, ("missing",))


def test_windows_line_ends_count_as_one():
    assert {("a",): 1, ("b",): 2, ("c",): 4} == lines_of_keys('a = 1\r\nb = """x\r\ny"""\r\nc = 3\r\n')
