import uuid

from okgames.events.base import Event, PlayerEvent, Topic


class WebhookDelivered(PlayerEvent):
    """An endpoint of the game accepted a webhook; `event_id` is the event that it carried."""

    topic = Topic.DELIVERIES

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    event_id: uuid.UUID
    webhook_type: str
    attempts: int
    status: int


class WebhookExhausted(PlayerEvent):
    """The last attempt of the schedule failed; `status` is null where no answer came."""

    topic = Topic.DELIVERIES

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    event_id: uuid.UUID
    webhook_type: str
    attempts: int
    status: int | None


class EndpointPaused(Event):
    """An endpoint gets no more attempts until a person resumes it; its deliveries wait."""

    topic = Topic.DELIVERIES

    endpoint_id: uuid.UUID
    url: str
    reason: str

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.endpoint_id}"
