"""Stand between a process and those it talks to, and kill it at a chosen step of any of the conversations."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from forks import Fork

Connect = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


@dataclass
class Steps:
    """Count what goes over the wire, each connection and each piece in either direction; kill at one of them."""

    kill_at: int | None = None
    count: int = 0
    process: Fork | None = None
    names: list[str] = field(default_factory=list)

    def take(self, name: str) -> bool:
        """Count one step; False where the process was killed at it or before, so that it must not happen."""
        self.count += 1
        self.names.append(name)
        if self.kill_at is not None and self.count >= self.kill_at and self.process is not None:
            self.process.kill()
            return False
        return True


@asynccontextmanager
async def between(steps: Steps, name: str, connect: Connect) -> AsyncIterator[int]:
    """Listen on a port and pass everything on, step by step."""
    open_ones: set[StreamWriter] = set()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        open_ones.add(writer)
        try:
            if not steps.take(f"{name}: connect"):
                return
            far_reader, far_writer = await connect()
            open_ones.add(far_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(carry(reader, far_writer, f"{name}: ask"))
                    group.create_task(carry(far_reader, writer, f"{name}: answer"))
            finally:
                far_writer.close()
        finally:
            writer.close()

    async def carry(source: StreamReader, target: StreamWriter, what: str) -> None:
        try:
            while (piece := await source.read(65536)) and steps.take(what):
                target.write(piece)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones:
            writer.close()
