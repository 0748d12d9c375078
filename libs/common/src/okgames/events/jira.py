import uuid

from okgames.events.base import Event, Topic


class JiraEvent(Event):
    """State a fact about an issue in OK's JIRA; `promotion_id` is None where it is about no promotion of ours."""

    topic = Topic.JIRA

    issue_key: str
    promotion_id: uuid.UUID | None

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.issue_key}"


class IssueCreated(JiraEvent):
    """An issue came to be: by the desk, or by a person who told the desk its key."""

    title: str
    url: str


class IssueStatusChanged(JiraEvent):
    """OK, or a person, moved an issue to another status; the names are OK's own."""

    old_status: str
    new_status: str


class CommentAdded(JiraEvent):
    comment_id: str
    author: str
    text: str


class AttachmentAdded(JiraEvent):
    """A file was attached; `evidence_id` names it where it is a picture that was due (`JiraAttachmentDue`)."""

    attachment_id: str
    file_name: str
    evidence_id: uuid.UUID | None


class PromotionIssueEvent(JiraEvent):
    """State what OK's people said of a promotion; `link` leads to where they did."""

    promotion_id: uuid.UUID
    link: str


class PrizeFundConfirmed(PromotionIssueEvent):
    """OK's administration put the prize fund on the application's cashback account."""

    amount_oks: int


class RequestApproved(PromotionIssueEvent):
    """OK approved the promotion."""


class RequestDeclined(PromotionIssueEvent):
    """OK refused the promotion."""

    reason: str
