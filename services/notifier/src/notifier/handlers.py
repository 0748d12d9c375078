from collections.abc import Mapping, Sequence

from notifier.domain.endpoint import Endpoint
from notifier.domain.webhook import webhook_of
from notifier.store.webhooks import save_webhooks
from okgames.clock import Clock
from okgames.database import Tx
from okgames.events import Event


async def on_entitlements(
    clock: Clock, endpoints: Mapping[str, Sequence[Endpoint]], tx: Tx, events: Sequence[Event]
) -> None:
    """Note what the games, by their application_key, are to be told; jobs do the telling."""
    webhooks = [webhook for event in events if (webhook := webhook_of(event)) is not None]
    addressed = [
        (webhook, endpoint.id)
        for webhook in webhooks
        for endpoint in endpoints.get(webhook.application_key, ())
        if endpoint.wants(webhook.type)
    ]
    if addressed:
        await save_webhooks(tx, addressed, await clock.now())
