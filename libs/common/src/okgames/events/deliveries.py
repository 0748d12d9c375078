import uuid

from okgames.events.base import Event, PlayerEvent, Topic
from okgames.events.promotions import Audience, PromotionPost


class WebhookDelivered(PlayerEvent):
    """
    An endpoint of the game accepted a webhook; `event_id` is the event that it carried.

    `uid` is empty where the webhook is about a promotion.
    """

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
    """
    A post has its text, and waits for a person.

    `reason` says why okgames cannot publish it, None where it may as soon as the person has approved it.
    """

    post: PromotionPost
    text: str
    reason: str | None = None


class NotificationSent(PromotionDelivery):
    """
    A notification is on OK's portal; `notification_id` is the id by which it can be stopped.

    `by` is the person who says that they sent it, and then OK's id is not known.
    """

    audience: Audience
    text: str
    notification_id: str | None
    by: str | None = None
