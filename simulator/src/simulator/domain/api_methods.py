from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import orjson

from okgames.ok_answer import ApiCode
from simulator.chance import Chance
from simulator.domain.api_books import MOSCOW, ApiBooks, CashbackCall, MailingStatus, drawn, payers
from simulator.domain.api_call import ApiCall, ApiRefusal, amounts, day, minute
from simulator.domain.books import Books
from simulator.domain.faults import Fault, Mischief
from simulator.domain.people import person
from simulator.domain.statistics import Row, day_rows

CASHBACK: Final = "payment.appCashback"

_EXPIRES_WITHIN: Final = timedelta(days=14)
_AT_ONCE: Final = 100
_MASS_TEXT: Final = 200
_SIMPLE_TEXT: Final = 100
_GROUP_TYPES: Final = frozenset({"GROUP_THEME", "GROUP_THEME_PROMO"})
_SHORT_STATUSES: Final = {"P": "PUBLIC", "A": "ADMINS_ONLY"}
_PLENTY: Final = 10_000
_WITH_SESSION: Final = frozenset({"mediatopic.post", "mediatopic.getByIds", "group.getStatTopics", "auth.touchSession"})
_WITHOUT_SESSION: Final = frozenset(
    {
        CASHBACK,
        "payment.getDailyTransactionsFromServer",
        "notifications.sendMass",
        "notifications.stopSendMass",
        "notifications.sendSimple",
    }
)


class ApiMethods:
    """Do what games ask of OK, with what its pages leave open decided as the README says."""

    def __init__(self, mischief: Mischief, books: Books, api_books: ApiBooks) -> None:
        self._mischief = mischief
        self._books = books
        self._api_books = api_books
        self._methods: Mapping[str, Callable[[ApiCall, datetime, Chance], object]] = {
            CASHBACK: self._award_cashback,
            "payment.getDailyTransactionsFromServer": self._daily_transactions,
            "users.getInfo": self._users_info,
            "users.getCallsLeft": self._calls_left,
            "mediatopic.post": self._post,
            "mediatopic.getByIds": self._topics,
            "group.getStatTopics": self._topic_ids,
            "notifications.sendMass": self._send_mass,
            "notifications.stopSendMass": self._stop_send_mass,
            "notifications.sendSimple": self._send_simple,
            "auth.touchSession": lambda _call, _now, _chance: True,
        }

    def perform(self, call: ApiCall, now: datetime, chance: Chance) -> object:
        """Do what is asked and return the result; raise ApiRefusal."""
        method = self._methods.get(call.method)
        if method is None:
            raise ApiRefusal(ApiCode.METHOD, call.method)
        if self._strikes(Fault.API_ERRORS, chance):
            raise ApiRefusal(ApiCode.SERVICE)
        if call.has_session and call.method in _WITHOUT_SESSION:
            raise ApiRefusal(ApiCode.NOT_SESSION_METHOD)
        if not call.has_session and call.method in _WITH_SESSION:
            raise ApiRefusal(ApiCode.SESSION_REQUIRED)
        if call.has_session and not call.is_session_known:
            raise ApiRefusal(ApiCode.PARAM_SESSION_KEY)
        if call.has_session and self._mischief.mix.expired_token:
            raise ApiRefusal(ApiCode.PARAM_SESSION_EXPIRED)
        return method(call, now, chance)

    def _award_cashback(self, call: ApiCall, now: datetime, chance: Chance) -> object:
        asked = CashbackCall(
            application_key=call.app.application_key,
            at=now,
            begins_at=call.read("from", partial(minute, zone=MOSCOW)),
            ends_at=call.read("to", partial(minute, zone=MOSCOW)),
            prizes_oks=call.read("amount", amounts),
        )
        try:
            winners = self._pay_winners(asked, chance)
        except ApiRefusal as refusal:
            self._api_books.cashback_calls.append(replace(asked, error=refusal.code))
            raise
        self._api_books.cashback_calls.append(replace(asked, winners=winners))
        return {"users": [int(uid) if uid.isascii() and uid.isdigit() else uid for uid in winners]}

    def _pay_winners(self, asked: CashbackCall, chance: Chance) -> tuple[str, ...]:
        if not asked.begins_at < asked.ends_at <= asked.at:
            raise ApiRefusal(ApiCode.PARAM, "to")
        if self._strikes(Fault.CASHBACK_NO_MONEY, chance):
            raise ApiRefusal(ApiCode.NOT_ENOUGH_MONEY)
        if self._strikes(Fault.CASHBACK_NO_PAYERS, chance):
            return ()
        candidates = payers(self._books, asked.application_key, asked.begins_at, asked.ends_at)
        winners = drawn(candidates, len(asked.prizes_oks), chance.of("winners"))
        self._api_books.pay(asked, winners)
        return winners

    def _daily_transactions(self, call: ApiCall, _now: datetime, _chance: Chance) -> object:
        uid = call.parameters.get("uid")
        everything = day_rows(self._books, self._api_books, call.app, call.read("date", day))
        rows = [row for row in everything if uid in (None, row.userId)]
        begin = call.number("anchor", 0)
        end = begin + min(call.number("count", _AT_ONCE), _AT_ONCE)
        return {
            "fields": [each.name for each in fields(Row)],
            "data": [asdict(row) for row in rows[begin:end]],
            "anchor": str(end),
            "etag": "",
            "has_more": end < len(rows),
            "totalCount": len(rows),
        }

    def _users_info(self, call: ApiCall, _now: datetime, chance: Chance) -> object:
        uids, wanted = call.text("uids").split(","), call.text("fields").split(",")
        if len(uids) > _AT_ONCE:
            raise ApiRefusal(ApiCode.PARAM, "uids")
        people = [person(uid, is_closed=self._strikes(Fault.CLOSED_PROFILES, chance.of(uid))) for uid in uids]
        return [{name: value for name, value in each.items() if name in wanted} for each in people]

    def _calls_left(self, call: ApiCall, now: datetime, _chance: Chance) -> object:
        mailings = self._api_books.mailings_left(call.app.application_key, now)
        left = {
            name: mailings if name == "notifications.sendMass" else _PLENTY for name in call.text("methods").split(",")
        }
        return [{"name": name, "available": number > 0, "callsLeft": number} for name, number in left.items()]

    def _post(self, call: ApiCall, now: datetime, _chance: Chance) -> object:
        group_id = self._group(call)
        if call.text("type") not in _GROUP_TYPES:
            raise ApiRefusal(ApiCode.PARAM, "type")
        return self._api_books.publish(call.app.application_key, group_id, call.read("attachment", _text_of), now).id

    def _topic_ids(self, call: ApiCall, _now: datetime, _chance: Chance) -> object:
        group_id, since = self._group(call), call.number("start_time", 0)
        posts = [each for each in reversed(self._api_books.posts) if each.group_id == group_id]
        dated = [(each.id, int(each.at.timestamp() * 1000)) for each in posts]
        rows = [{"id": identifier, "created_ms": created} for identifier, created in dated if created >= since]
        return {"topics": rows[: call.number("count", _AT_ONCE)]}

    def _topics(self, call: ApiCall, _now: datetime, _chance: Chance) -> object:
        wanted = call.text("topic_ids").split(",")
        posts = [each for each in self._api_books.posts if each.id in wanted]
        return {"media_topics": [{"id": each.id, "media": [{"type": "text", "text": each.text}]} for each in posts]}

    def _group(self, call: ApiCall) -> str:
        if self._mischief.mix.no_group_right:
            raise ApiRefusal(ApiCode.PERMISSION_DENIED, "GROUP_CONTENT")
        group_id = call.text("gid")
        if group_id != call.app.group_id:
            raise ApiRefusal(ApiCode.PARAM_GROUP_ID)
        return group_id

    def _send_mass(self, call: ApiCall, now: datetime, _chance: Chance) -> object:
        expires_at = call.read("expires", partial(minute, zone=MOSCOW))
        if not now < expires_at < now + _EXPIRES_WITHIN:
            raise ApiRefusal(ApiCode.PARAM, "expires")
        text, said = call.text("text", longest=_MASS_TEXT), call.parameters.get("status", "P")
        if (status := _SHORT_STATUSES.get(said, said)) not in list(MailingStatus):
            raise ApiRefusal(ApiCode.PARAM, "status")
        return self._api_books.mail(call.app.application_key, text, MailingStatus(status), now, expires_at).id

    def _stop_send_mass(self, call: ApiCall, _now: datetime, _chance: Chance) -> object:
        for mailing in self._api_books.mailings:
            if (mailing.id, mailing.application_key) == (call.text("id"), call.app.application_key):
                self._api_books.stop(mailing)
                return True
        raise ApiRefusal(ApiCode.NOT_FOUND)

    def _send_simple(self, call: ApiCall, now: datetime, _chance: Chance) -> object:
        uid, text = call.text("uid"), call.text("text", longest=_SIMPLE_TEXT)
        self._api_books.notify(call.app.application_key, uid, text, now)
        return True

    def _strikes(self, fault: Fault, chance: Chance) -> bool:
        return self._mischief.strikes(fault, chance)


def _text_of(attachment: str) -> str:
    """Return the texts of a post, one below the other; raise ValueError where it has none."""
    match orjson.loads(attachment):
        case {"media": [*media]}:
            texts = [str(item["text"]) for item in media if isinstance(item, dict) and item.get("type") == "text"]
            if any(texts):
                return "\n".join(texts)
    raise ValueError("no media")
