from datetime import timedelta


class JiraProblem(Exception):
    """JIRA did not do what was asked, or we cannot know; the text is fit for people and holds no secret."""

    outcome = "unknown"


class NotDone(JiraProblem):
    """JIRA surely did nothing, and the same may work later; `asked_wait` is what it asked for."""

    outcome = "not_done"

    def __init__(self, reason: str, asked_wait: timedelta | None = None) -> None:
        super().__init__(reason)
        self.asked_wait = asked_wait


class Refused(JiraProblem):
    """JIRA surely did nothing, and the same will not work: a person has to look."""

    outcome = "refused"


class NotLetIn(Refused):
    """JIRA does not let us do this (403)."""

    outcome = "not_let_in"


class AccountRefused(NotLetIn):
    """JIRA refuses our account whatever we ask; after some refusals it locks the account behind a captcha."""


class NotThere(Refused):
    """There is no such issue, or it was moved to where our account cannot see it (404)."""

    outcome = "not_there"


class OutcomeUnknown(JiraProblem):
    """It may be done or not: no answer, a server's fault, or an answer that cannot be read."""
