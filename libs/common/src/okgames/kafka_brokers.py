import asyncio
import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from okgames.postgres_layout import try_lock

_ROOT: Final = Path(__file__).parents[4]
_POM: Final = _ROOT / "deploy/kafka/pom.xml"
_TARGET: Final = _ROOT / "deploy/kafka/target"
_IMAGE: Final = "apache/kafka:4.2.0"
_CLUSTER_ID: Final = "b2tnYW1lcy1vZi10ZXN0cw"
_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 30.0
_PORTS: Final = range(10_000, 30_000)
"""Below those that the kernel gives to whoever connects, or a process that is down may find its port taken."""
_PORTS_OF_A_PROCESS: Final = 2_000

_INSTALL: Final = (
    "Kafka for the tests comes from OKGAMES_TEST_KAFKA=host:port[,host:port], or from a Docker engine that answers, or"
    " runs on this machine with Java 17 or newer and Maven (Debian and Ubuntu: apt-get install"
    " openjdk-17-jre-headless maven)"
)


class KafkaNotStarted(Exception):
    """The brokers for the tests could not be had; the text says why and what to install."""


class Brokers(ABC):
    """Three real brokers of the tests' own, any of which can be ended, frozen and started again."""

    def __init__(self, ports: Sequence[tuple[int, int]]) -> None:
        self._ports = ports

    @property
    def servers(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port, _ in self._ports]

    @property
    def numbers(self) -> range:
        return range(len(self._ports))

    @abstractmethod
    def start(self, number: int) -> None:
        """Start a broker on the data that it has; return before it is ready."""

    @abstractmethod
    def kill(self, number: int) -> None:
        """End a broker as the kernel would when memory runs out."""

    @abstractmethod
    def freeze(self, number: int) -> None: ...

    @abstractmethod
    def thaw(self, number: int) -> None: ...

    @abstractmethod
    def stop(self) -> None:
        """End all of them."""

    @abstractmethod
    def last_words(self) -> str: ...

    def wait_until_ready(self) -> None:
        """Return when every broker is part of the cluster; raise KafkaNotStarted."""
        deadline = time.monotonic() + _START_SECONDS
        while not (all(map(_is_open, self._ports)) and asyncio.run(count_brokers(self.servers)) == len(self._ports)):
            if time.monotonic() > deadline:
                raise KafkaNotStarted(f"the brokers were not ready after {_START_SECONDS:.0f} s: {self.last_words()}")
            time.sleep(0.1)

    def _settings(self, number: int) -> dict[str, str]:
        port, controller_port = self._ports[number]
        voters = ",".join(f"{each}@127.0.0.1:{voter}" for each, (_, voter) in enumerate(self._ports))
        return {
            "process.roles": "broker,controller",
            "node.id": str(number),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "auto.create.topics.enable": "false",
            "default.replication.factor": "3",
            "min.insync.replicas": "2",
            "offsets.topic.num.partitions": "3",
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "group.initial.rebalance.delay.ms": "0",
            # A broker that was killed is given up after three seconds instead of nine.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # Two cores for all of them.
            "num.network.threads": "2",
            "num.io.threads": "2",
            "background.threads": "2",
            "num.recovery.threads.per.data.dir": "1",
            "log.cleaner.dedupe.buffer.size": "4194304",
        }


@contextmanager
def kafka_brokers(count: int = 3) -> Iterator[Brokers]:
    """
    Run Kafka in KRaft mode on loopback for as long as the context lasts.

    It runs in Docker where an engine answers, else on this machine's Java. The brokers end with this process,
    whatever ends it. Raise KafkaNotStarted.
    """
    ports = list(zip(free_ports(count), free_ports(count), strict=True))
    with ExitStack() as stack:
        brokers: Brokers
        if _docker_answers():
            brokers = _DockerBrokers(ports)
        else:
            brokers = _JavaBrokers(ports, stack.enter_context(own_directory(_TARGET, "brokers")), _jars())
        stack.callback(brokers.stop)
        for number in brokers.numbers:
            brokers.start(number)
        brokers.wait_until_ready()
        yield brokers


class _JavaBrokers(Brokers):
    def __init__(self, ports: Sequence[tuple[int, int]], directory: Path, jars: Path) -> None:
        super().__init__(ports)
        self._directory = directory
        self._jars = jars
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for number in self.numbers:
            self._format(number)

    def start(self, number: int) -> None:
        with self._log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                self._java("-Xmx256m", "kafka.Kafka", str(self._properties(number))), stdout=log, stderr=log
            )

    def kill(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def freeze(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        # Nobody wants what they hold, so there is nothing to be written.
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(_STOP_SECONDS)

    def last_words(self) -> str:
        lines = [line for each in self.numbers for line in self._log(each).read_text(errors="replace").splitlines()]
        return "\n".join(lines[-20:])

    def _format(self, number: int) -> None:
        settings = self._settings(number) | {"log.dirs": str(self._directory / f"broker-{number}")}
        self._properties(number).write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._properties(number))]
        done = subprocess.run(
            self._java("-Xmx64m", *tool), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode != 0:
            raise KafkaNotStarted(f"Kafka's StorageTool failed: {done.stdout.strip()}")

    def _java(self, heap: str, *arguments: str) -> list[str]:
        # On Linux, the kernel ends the brokers when pytest is gone, whatever ended it.
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv and sys.platform == "linux" else []
        java = ["java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self._jars}/*"]
        return [*prefix, *java, *arguments]

    def _properties(self, number: int) -> Path:
        return self._directory / f"broker-{number}.properties"

    def _log(self, number: int) -> Path:
        return self._directory / f"broker-{number}.log"


class _DockerBrokers(Brokers):
    def __init__(self, ports: Sequence[tuple[int, int]]) -> None:
        super().__init__(ports)
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only tests have it

        self._containers = {}
        self._started: set[int] = set()
        for number in self.numbers:
            # On the host's network, so that a broker is known by one address to the others and to the tests.
            container = DockerContainer(_IMAGE, network_mode="host").with_env("CLUSTER_ID", _CLUSTER_ID)
            container = container.with_env("KAFKA_HEAP_OPTS", "-Xmx256m")
            for name, value in self._settings(number).items():
                container = container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
            self._containers[number] = container

    def start(self, number: int) -> None:
        if number in self._started:
            self._containers[number].get_wrapped_container().start()
            return
        # testcontainers leaves a reaper behind, which removes the containers of a pytest that was killed.
        self._containers[number].start()
        self._started.add(number)

    def kill(self, number: int) -> None:
        self._containers[number].get_wrapped_container().kill()

    def freeze(self, number: int) -> None:
        self._containers[number].get_wrapped_container().pause()

    def thaw(self, number: int) -> None:
        self._containers[number].get_wrapped_container().unpause()

    def stop(self) -> None:
        for container in self._containers.values():
            container.stop()

    def last_words(self) -> str:
        return "\n".join(b"".join(self._containers[each].get_logs()).decode()[-2000:] for each in self._started)


def given_brokers() -> list[str] | None:
    """Return the brokers that OKGAMES_TEST_KAFKA names, or None; raise KafkaNotStarted if they do not answer."""
    given = os.environ.get("OKGAMES_TEST_KAFKA")
    if not given:
        return None
    servers = given.removeprefix("kafka://").split(",")
    if not asyncio.run(count_brokers(servers)):
        raise KafkaNotStarted(f"OKGAMES_TEST_KAFKA names brokers that do not answer: {given}. {_INSTALL}")
    return servers


async def count_brokers(servers: Sequence[str]) -> int:
    """Return how many brokers are part of the cluster, 0 where none of these answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(servers), request_timeout_ms=2000)
    try:
        await admin.start()
        return len((await admin.describe_cluster())["brokers"])
    except KafkaError:
        return 0
    finally:
        await admin.close()


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _jars() -> Path:
    """Return the folder of the broker's jars; Maven brings them the first time and when the pom has changed."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        raise KafkaNotStarted(f"{' and '.join(missing)} not found. {_INSTALL}")
    _TARGET.mkdir(exist_ok=True)
    jars, stamp = _TARGET / "jars", _TARGET / "pom.xml"
    with (_TARGET / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != _POM.read_text():
            shutil.rmtree(jars, ignore_errors=True)
            maven = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
            done = subprocess.run(maven, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise KafkaNotStarted(f"Maven could not bring Kafka: {done.stdout.strip()[-2000:]}. {_INSTALL}")
            shutil.copy(_POM, stamp)
    return jars


@contextmanager
def own_directory(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder for this process's data, and remove those of the same name whose processes are gone."""
    directory = parent / f"{name}-{os.getpid()}-{time.monotonic_ns()}"
    parent.mkdir(exist_ok=True)
    for other in parent.glob(f"{name}-*"):
        if not _is_running(int(other.name.removeprefix(f"{name}-").split("-")[0])):
            shutil.rmtree(other, ignore_errors=True)
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _is_open(ports: tuple[int, int]) -> bool:
    try:
        socket.create_connection(("127.0.0.1", ports[0]), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has, that no other process is given here, and none twice among two thousand."""
    return list(itertools.islice(filter(_is_free, _own_ports), count))


def _ports_of_this_process() -> Iterator[int]:
    for first in _PORTS[::_PORTS_OF_A_PROCESS]:
        # Open, and locked, for as long as this process lives.
        with Path(tempfile.gettempdir(), f"okgames-ports-{os.getuid()}-{first}").open("w") as lock:
            if try_lock(lock.fileno(), fcntl.LOCK_EX):
                yield from itertools.cycle(range(first, first + _PORTS_OF_A_PROCESS))
    raise RuntimeError(f"all ports from {_PORTS.start} to {_PORTS.stop} belong to other processes of okgames")


_own_ports: Final = _ports_of_this_process()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
