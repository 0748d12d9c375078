"""Processes as copies of one that has imported everything: real ones, which are there at once."""

import multiprocessing
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Final

import cli
from cli.main import main
from okgames.testing import wait_until

_CONTEXT: Final = multiprocessing.get_context("forkserver")
# Besides the commands: what this file imports, and what the process runs that asks for a copy.
_CONTEXT.set_forkserver_preload(
    [*(f"cli.{module.name}" for module in pkgutil.iter_modules(cli.__path__)), "okgames.testing", "pytest"]
)


class Fork:
    """A process that runs a function as if it were a program; otherwise a subprocess.Popen."""

    def __init__(
        self,
        program: Callable[[], None],
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> None:
        self._process = _CONTEXT.Process(
            target=_run, args=(program, arguments, cwd, dict(env), stdout, stderr), daemon=True
        )
        self._process.start()
        self.pid = self._process.pid
        self.args = arguments

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    program: Callable[[], None],
    arguments: tuple[str, ...],
    directory: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
) -> None:
    for stream, path in ((sys.stdout, stdout), (sys.stderr, stderr)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    program()


okgames: Final = partial(Fork, main)
"""The command, as a process with arguments, an environment, two outputs and a code."""


async def ended(process: Fork | Popen[bytes], timeout: float = 30) -> int:
    """Wait until a process has ended and return its exit code."""
    await wait_until(lambda: process.poll() is not None, timeout, "the process goes on")
    code = process.poll()
    assert code is not None
    return code
