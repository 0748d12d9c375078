import asyncio
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from cli.failures import Failed

app: Final = typer.Typer(help="Kafka's topics, where OKGAMES_EVENT_LOG names Kafka.")

FileArgument: TypeAlias = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="What the topics should be.", show_default="as okgames ships it"),
]
BrokersOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--brokers", min=1, help="With fewer brokers than the file wants replicas: as many as brokers."),
]


@app.command()
def apply(file: FileArgument = None, brokers: BrokersOption = None) -> None:
    """
    Make the topics that are missing, and change settings that differ.

    Partitions and replicas of a topic that exists are left, with the reason, and end the command with exit code 1.
    """
    from cli.installation import kafka_address, plain_errors
    from okgames import topics
    from okgames.settings import load_settings

    with plain_errors():
        address = kafka_address(load_settings())
        done, left = asyncio.run(topics.apply(address, topics.load_plans(file or topics.SHIPPED, brokers=brokers)))
    for difference in done:
        print(f"{difference.topic}: {difference.what}: {difference.found}, now {difference.planned}")
    if left:
        raise Failed("\n".join(map(str, left)))
    if not done:
        print("the topics are as they should be")


@app.command()
def check(file: FileArgument = None, brokers: BrokersOption = None) -> None:
    """Show where the topics are not what they should be; end with exit code 1 if there is anything."""
    from cli.installation import kafka_address, plain_errors
    from okgames import topics
    from okgames.settings import load_settings

    with plain_errors():
        address = kafka_address(load_settings())
        differing = asyncio.run(topics.check(address, topics.load_plans(file or topics.SHIPPED, brokers=brokers)))
    if differing:
        raise Failed("\n".join(map(str, differing)))
    print("the topics are as they should be")
