from collections import defaultdict
from collections.abc import Mapping, Sequence

from okgames.clock import Clock
from okgames.database import Tx
from okgames.events import Event, PaymentReceived, SubscriptionCancelled, WebhookDelivered, WebhookExhausted
from okgames.outbox import append
from okgames.service import Poisoned
from okgames.settings import Config, Plan, Product
from subscription_ledger.domain.entry import Payment, entry_of
from subscription_ledger.domain.player import Player, needs_history
from subscription_ledger.domain.rewards import SLOTS_AT_ONCE, Grant, Reward, RewardTerms, reward_for
from subscription_ledger.domain.subscription import Fact, Terms
from subscription_ledger.store import entries, players, rewards, timeline
from subscription_ledger.store.columns import PlayerKey
