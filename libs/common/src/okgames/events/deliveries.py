import uuid

from okgames.events.base import Event, PlayerEvent, Topic
from okgames.events.promotions import Audience, PromotionPost


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


class PromotionDelivery(Event):
    """State what became of something that was due for a promotion."""

    topic = Topic.DELIVERIES

    promotion_id: uuid.UUID

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.promotion_id}"


class GroupPostPublished(PromotionDelivery):
    """A post stands in the game's group, at `link`; `by` is the person who said so, None where OK's API did."""

    post: PromotionPost
    text: str
    link: str
    by: str | None


class GroupPostDrafted(PromotionDelivery):
    """A post has its text, and waits for a person to publish it or to let it be published."""

    post: PromotionPost
    text: str


class NotificationSent(PromotionDelivery):
    """OK took a notification; `notification_id` is the id by which it can be stopped."""

    audience: Audience
    text: str
    notification_id: str
