import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SOURCES = [*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src"), ROOT / "simulator/src", ROOT / "cli/src"]
SERVICES = sorted(path for path in ROOT.glob("services/*/src/*") if (path / "domain").is_dir())

SERVICE_FILES = re.compile(
    r"__init__\.py|py\.typed|__main__\.py|service\.py|handlers\.py|(http|jobs|store)(/[a-z_]+)?\.py|[a-z]+_client\.py"
    r"|domain/[a-z_]+\.py|templates/[a-z_]+\.[a-z]{2}\.j2|migrations/\d{4}_[a-z0-9_]+\.sql"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy all packages to one folder, where a test may spoil them."""
    for source in SOURCES:
        shutil.copytree(source, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "lint-imports", "--no-logo", "--no-cache", "--contract", contract],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("contract", ["packages", "strangers", "files", "pure", "mode"])
def test_contract_is_kept(tree: Path, contract: str) -> None:
    result = lint_imports(tree, contract)

    assert "Contracts: 1 kept, 0 broken." in result.stdout
    assert 0 == result.returncode


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("packages", "okgames/events/base.py", "import notifier.domain"),
        ("packages", "simulator/__init__.py", "import cli"),
        ("strangers", "notifier/domain/__init__.py", "import subscription_ledger.domain"),
        ("strangers", "callback_gateway/domain/__init__.py", "import simulator"),
        ("strangers", "jira_desk/domain/__init__.py", "import promo_scheduler.domain"),
        ("strangers", "simulator/__init__.py", "import callback_gateway.domain"),
        ("files", "callback_gateway/store.py", "import callback_gateway.jobs"),
        ("files", "jira_desk/jira_client.py", "import jira_desk.store"),
        ("files", "notifier/handlers.py", "import notifier.service"),
        ("files", "callback_gateway/service.py", "import callback_gateway.__main__"),
        ("files", "subscription_ledger/domain/__init__.py", "import subscription_ledger.store"),
        ("files", "notifier/manager.py", ""),
        ("pure", "callback_gateway/domain/__init__.py", "import asyncpg"),
        ("pure", "jira_desk/domain/__init__.py", "import jira"),
        ("pure", "notifier/domain/__init__.py", "from socket import getaddrinfo"),
        ("pure", "subscription_ledger/domain/__init__.py", "from okgames.database import Tx"),
        ("pure", "okgames/events/base.py", "import random"),
        ("pure", "okgames/ok_answer.py", "import asyncio"),
        ("pure", "okgames/retry.py", "from time import monotonic"),
        ("pure", "okgames/ok_protocol.py", "import aiohttp"),
        ("mode", "callback_gateway/store.py", "from okgames.log import EventLog"),
        ("mode", "notifier/jobs/courier.py", "from okgames.consumer import keep_going"),
        ("mode", "subscription_ledger/service.py", "from okgames.runtime import run"),
        ("mode", "notifier/service.py", "from okgames.kafka_log import KafkaLog"),
        ("mode", "callback_gateway/jobs.py", "from okgames.forwarder import forward"),
        ("mode", "subscription_ledger/handlers.py", "import aiokafka"),
        # Through others: every service imports okgames.database.
        ("mode", "okgames/database.py", "import okgames.postgres_log"),
    ],
)
def test_contract_is_seen_to_be_broken(tree: Path, contract: str, file: str, line: str) -> None:
    with (tree / file).open("a") as spoilt:
        spoilt.write(f"\n{line}\n")

    result = lint_imports(tree, contract)

    assert "Contracts: 0 kept, 1 broken." in result.stdout
    assert 1 == result.returncode


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_service_has_no_file_outside_the_closed_list(service: Path) -> None:
    names = {str(path.relative_to(service)) for path in service.rglob("*") if path.is_file()}

    assert [] == sorted(name for name in names if "__pycache__" not in name and not SERVICE_FILES.fullmatch(name))


def test_no_file_is_longer_than_400_lines() -> None:
    files = [
        path for folder in ("libs", "services", "simulator", "cli", "tests", "bench") for path in python_files(folder)
    ]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}

    assert {} == {name: length for name, length in lengths.items() if length > 400}


def python_files(folder: str) -> list[Path]:
    return list((ROOT / folder).rglob("*.py"))


def ruff(file: str, code: str) -> str:
    result = subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--select", "TID251", "--stdin-filename", file, "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout


BANNED = [
    ("from datetime import UTC, datetime\nnow = datetime.now(UTC)", "ask okgames.clock"),
    ("import datetime\nnow = datetime.datetime.utcnow()", "ask okgames.clock"),
    ("import datetime\ntoday = datetime.date.today()", "ask okgames.clock"),
    ("import time\nnow = time.time()", "ask okgames.clock"),
    ("from uuid import uuid4\nid = uuid4()", "okgames.events.derive_id"),
    ("import uuid\nid = uuid.uuid1()", "okgames.events.derive_id"),
    ("import random\nn = random.random()", "simulator.chance"),
    ("from random import Random", "simulator.chance"),
]


@pytest.mark.parametrize(("code", "replacement"), BANNED)
def test_ruff_names_the_replacement_of_what_is_banned(code: str, replacement: str) -> None:
    report = ruff("services/notifier/src/notifier/domain/planted.py", code)

    assert "TID251" in report
    assert replacement in report


@pytest.mark.parametrize("code", [code for code, _ in BANNED])
def test_ruff_lets_the_clock_and_tests_use_what_is_banned_elsewhere(code: str) -> None:
    assert "All checks passed!" in ruff("libs/common/src/okgames/clock.py", code)
    assert "All checks passed!" in ruff("services/notifier/tests/test_planted.py", code)


def test_each_lint_rule_that_is_ignored_has_its_reason_on_the_line() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    ignores = re.search(r"^ignore = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)

    assert ignores is not None
    assert [] == [line for line in ignores[1].splitlines() if not re.fullmatch(r' +"\w+", *# .+', line)]


def test_lock_names_no_package_index() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
