import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from okgames.events import EVENT_TYPES
from okgames.settings import Settings

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
DOCS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("services/*/README.md"),
    *ROOT.glob("deploy/**/README.md"),
]


def commands(*files: Path) -> list[str]:
    """Return the lines of all shell blocks, without the variables set in front."""
    blocks = [block for file in files for block in re.findall(r"```sh\n(.*?)```", file.read_text(), re.DOTALL)]
    lines = {re.sub(r"^(\w+=\S+ )+", "", line.strip()) for block in blocks for line in block.splitlines()} - {""}
    return sorted(lines)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_readme_names_what_a_newcomer_needs() -> None:
    assert {"make demo", "make test", "make setup"} <= set(commands(ROOT / "README.md"))


@pytest.mark.parametrize("command", commands(*DOCS))
def test_command_of_the_docs_exists(command: str) -> None:
    program, *arguments = shlex.split(command)
    match program:
        case "make":
            assert set(arguments) <= make_targets()
        case "docker":
            assert "compose" == arguments[0]
            assert [] == [name for name in arguments if "/" in name and not (ROOT / name).exists()]
            if "exec" in arguments:
                assert arguments[2] in (ROOT / "docker-compose.yml").read_text()
                test_command_of_the_docs_exists(f".venv/bin/{' '.join(arguments[3:])}")
        case ".venv/bin/okgames":
            # With --help at its end the command does nothing but complain of what it does not know.
            result = subprocess.run(
                [BIN / "okgames", *arguments, "--help"], capture_output=True, text=True, check=False
            )
            assert (0, "") == (result.returncode, result.stderr)
        case ".venv/bin/pytest":
            assert [] == [name for name in arguments if "/" in name and not (ROOT / name).exists()]
        case _:
            assert "curl" == program


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_link_of_the_docs_leads_to_a_file(doc: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", doc.read_text())

    assert [] == [link for link in links if "://" not in link and not (doc.parent / link).exists()]


def test_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_table_of_variables_in_the_readme_has_all_settings() -> None:
    rows = re.findall(r"^\| (`OKGAMES_.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name.lower() for row in rows for name in re.findall(r"`OKGAMES_(\w+)`", row)}

    assert set(Settings.model_fields) == named


@pytest.mark.parametrize("decision", sorted(ROOT.glob("docs/decisions/0*.md")), ids=lambda path: path.stem)
def test_decision_has_its_sections_and_stands_in_the_list(decision: Path) -> None:
    text = decision.read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    quotes = re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE)

    assert ["Context", "Decision", "Consequences", "Alternatives"] == headings
    assert 1 == len(quotes)
    assert quotes[0] in (ROOT / "docs/decisions/README.md").read_text()


def test_every_event_type_stands_in_the_events_table() -> None:
    assert [] == [name for name in EVENT_TYPES if f"`{name}`" not in (ROOT / "docs/architecture.md").read_text()]


def test_every_sign_of_the_runbook_is_in_the_code() -> None:
    code = "".join(path.read_text() for path in ROOT.glob("*/*/src/**/*.py"))
    signs = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", (ROOT / "docs/runbook.md").read_text())

    assert len(signs) > 15
    assert [] == sorted({sign for sign in signs if not re.search(rf"\b{sign.removesuffix('_total')}\b", code)})
