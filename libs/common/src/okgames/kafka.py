from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Say where Kafka is; `space` is what begins the names of topics and groups where several share one Kafka."""

    servers: tuple[str, ...]
    space: str = ""

    def topic(self, topic: str) -> str:
        return f"{self.space}.{topic}" if self.space else topic

    def group(self, group: str, topic: str) -> str:
        # A group for each topic: a member that joins for one of them does not interrupt the reading of the others.
        return self.topic(f"{group}.{topic}")

    def __str__(self) -> str:
        return f"kafka://{','.join(self.servers)}{f'/{self.space}' if self.space else ''}"
