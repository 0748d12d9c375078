"""The usual way: FastAPI and SQLAlchemy, one session and one transaction for each callback, the same checks."""

import argparse
import hashlib
import hmac
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import DateTime, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from studio import PRICES, SECRET_KEY

from okgames.ok_protocol import reply

SUCCESS = reply("xml").body
MOSCOW = ZoneInfo("Europe/Moscow")


class Base(DeclarativeBase):
    pass


class Callback(Base):
    __tablename__ = "bench_callbacks"

    application_key: Mapped[str] = mapped_column(primary_key=True)
    transaction_id: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[str]
    product: Mapped[str]
    amount_oks: Mapped[int]
    query: Mapped[str]
    transaction_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class OutboxEvent(Base):
    __tablename__ = "bench_events"
    __table_args__ = (Index("bench_events_topic", "topic", "position"),)

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[uuid.UUID]
    topic: Mapped[str]
    key: Mapped[str]
    data: Mapped[dict[str, object]] = mapped_column(JSONB)


def application(url: str) -> FastAPI:
    engine = create_async_engine(url, pool_size=20)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as one, one.begin():
            yield one

    @app.get("/ok/callback")
    async def callback(request: Request, session: Annotated[AsyncSession, Depends(session)]) -> Response:
        parameters = dict(request.query_params)
        signature = parameters.pop("sig", "")
        glued = "".join(f"{key}={value}" for key, value in sorted(parameters.items())) + SECRET_KEY
        if not hmac.compare_digest(hashlib.md5(glued.encode()).hexdigest(), signature):
            return Response(status_code=200, headers={"Invocation-error": "104"})
        product, amount = parameters["product_code"], int(parameters["amount"])
        if PRICES.get(product) != amount:
            return Response(status_code=200, headers={"Invocation-error": "1001"})
        key = parameters["application_key"], parameters["transaction_id"]
        if await session.get(Callback, key) is None:
            time = datetime.strptime(parameters["transaction_time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=MOSCOW)
            session.add(
                Callback(
                    application_key=key[0],
                    transaction_id=key[1],
                    uid=parameters["uid"],
                    product=product,
                    amount_oks=amount,
                    query=str(request.url.query),
                    transaction_time=time,
                    received_at=datetime.now(UTC),
                )
            )
            session.add(
                OutboxEvent(
                    id=uuid.uuid5(uuid.NAMESPACE_URL, ":".join(key)),
                    topic="payments",
                    key=f"{key[0]}:{parameters['uid']}",
                    data={"uid": parameters["uid"], "product": product, "amount_oks": amount, "at": time.isoformat()},
                )
            )
        # Committed here and not by the dependency, which FastAPI closes after the answer has left.
        await session.commit()
        return Response(SUCCESS, media_type="application/xml")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("database_url")
    options = parser.parse_args()
    url = options.database_url.replace("postgresql://", "postgresql+asyncpg://")
    uvicorn.run(
        application(url),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
