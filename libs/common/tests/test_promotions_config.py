from pathlib import Path
from typing import Final

import pytest

from okgames.config import ConfigError, load_config

APP: Final = """\
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"

[apps.promotions]
"""


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("prizes = []", "prizes: must have at least 1 item"),
        ("prizes = [0]", "prizes[0]: must be at least 1"),
        ('draw = "soon"', "draw: must be 'confirmed' or 'automatic'"),
        ('language = "de"', "language: must be 'ru' or 'en'"),
        ("publishing = true", "publishing: must be 'confirmed' or 'automatic'"),
        ("publish = 1", "publish: is no key of this table; did you mean publishing?"),
        (
            "colour = 1000",
            (
                "colour: is no key of this table; there are draw, language, margin, offers_per_month, prizes,"
                " publishing, request_lead"
            ),
        ),
    ],
)
def test_a_wrong_setting_of_promotions_is_named_with_line_and_key(tmp_path: Path, line: str, error: str) -> None:
    file = tmp_path / "okgames.toml"
    file.write_text(APP + line + "\n")
    with pytest.raises(ConfigError) as failure:
        load_config(file)

    assert f"{file}:8: apps[0].promotions.{error}" == str(failure.value)
