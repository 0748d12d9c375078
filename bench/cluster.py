import forwarder_rate
from kafka_stage import kafka_stage
from run import Run


async def measure(run: Run) -> None:
    """Measure what Kafka, with three brokers on this machine, adds and costs."""
    async with kafka_stage(run.stage) as kafka:
        await forwarder_rate.measure(run, kafka)
