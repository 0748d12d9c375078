"""
Stand before Postgres as if it were in another town: what goes in either direction arrives some time later.

Everything arrives in order, and as much as one likes may be under way.
"""

import argparse
import asyncio
from functools import partial

import uvloop

_CHUNK = 65536


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while chunk := await reader.read(_CHUNK):
            loop.call_later(seconds, writer.write, chunk)
    except ConnectionError:
        pass
    loop.call_later(seconds, writer.close)


async def stand_between(
    socket: str, seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    postgres_reader, postgres_writer = await asyncio.open_unix_connection(socket)
    await asyncio.gather(carry(reader, postgres_writer, seconds), carry(postgres_reader, writer, seconds))


async def serve(port: int, socket: str, seconds: float) -> None:
    server = await asyncio.start_server(partial(stand_between, socket, seconds), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("socket", help="of Postgres")
    parser.add_argument("milliseconds", type=float, help="in each direction")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.socket, options.milliseconds / 1000))
