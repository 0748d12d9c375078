import callback_to_kafka
import catching_up
import copies_rate
import forwarder_rate
import ledger_on_kafka
from kafka_stage import KafkaStage, kafka_stage
from run import Run


async def measure(run: Run) -> None:
    """Measure what Kafka, with three brokers on this machine, adds and costs."""
    async with kafka_stage(run.stage) as kafka:
        await forwarder_rate.measure(run, kafka)
        await ledger_on_kafka.measure(run, kafka)
        await copies_rate.measure(run, kafka)
        await _whole_way(run, kafka)


async def _whole_way(run: Run, kafka: KafkaStage) -> None:
    stage = run.stage
    url, address = await stage.database("cluster"), await kafka.address("cluster")
    game = await stage.serve("game_server.py")
    gateway, forwarder = [
        await stage.okgames("run", service, database_url=url, kafka=address)
        for service in ("callback-gateway", "forwarder")
    ]
    await callback_to_kafka.measure(run, kafka, gateway, address)
    ledger, notifier = [
        await stage.okgames("run", service, database_url=url, game=game, kafka=address)
        for service in ("subscription-ledger", "notifier")
    ]
    await catching_up.measure(run, kafka, gateway, game)
    for system in (gateway, ledger, notifier, forwarder):
        await stage.end(system, "as a cluster")
