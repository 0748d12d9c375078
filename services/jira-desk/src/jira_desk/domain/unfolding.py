from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypedDict
from uuid import UUID

from jira_desk.domain.issue import (
    Attachment,
    Comment,
    Entry,
    Fund,
    FundState,
    Happening,
    Issue,
    Known,
    Remark,
    Verdict,
)
from jira_desk.domain.meaning import listed_remarks, meaning_of, read_fund
from okgames.events import (
    AttachmentAdded,
    CommentAdded,
    IssueCreated,
    IssueStatusChanged,
    JiraEvent,
    PrizeFundConfirmed,
    RequestApproved,
    RequestDeclined,
    derive_id,
)
from okgames.jira_account import JiraMeaning, JiraTask

_LONGEST_REASON: Final = 2000


class _Common(TypedDict):
    id: UUID
    occurred_at: datetime
    application_key: str
    issue_key: str


@dataclass
class Unfolding:
    """
    Let things happen to an issue one after the other, and gather what is to be kept and told of them.

    Whoever saw them, JIRA's API or a person, the same follows. `unmapped` are statuses whose meaning nobody gave.
    """

    known: Known
    statuses: Mapping[str, JiraMeaning]
    entries: list[Entry] = field(default_factory=list)
    events: list[JiraEvent] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)

    @property
    def issue(self) -> Issue:
        return self.known.issue

    def created(self, author: str, status: str) -> None:
        issue = self.issue
        self._enter(Happening.CREATED, issue.key, author, issue.created_at, None, status)
        self.events.append(
            IssueCreated(
                **self._common(issue.created_at, Happening.CREATED),
                promotion_id=issue.promotion_id,
                title=issue.title,
                url=issue.url,
            )
        )
        self._judge(status, issue.key, issue.created_at)

    def moved_to(self, status: str, move_id: str, author: str, at: datetime) -> None:
        """Let the issue come to another status."""
        old = self.issue.status
        self._enter(Happening.STATUS_CHANGED, move_id, author, at, old, status)
        self._become(status=status)
        self.known = replace(self.known, move_ids=self.known.move_ids | {move_id})
        self.events.append(
            IssueStatusChanged(
                **self._common(at, Happening.STATUS_CHANGED, move_id),
                promotion_id=self.issue.promotion_id,
                old_status=old,
                new_status=status,
            )
        )
        self._judge(status, move_id, at)

    def rekeyed(self, key: str, task: JiraTask, url: str, at: datetime) -> None:
        """Let the issue be moved to another project, where it has another key; it may come back."""
        self._enter(Happening.MOVED, f"{key}@{at.isoformat()}", "", at, self.issue.key, key)
        self._become(key=key, task=task, url=url)

    def renamed(self, title: str, at: datetime) -> None:
        self._enter(Happening.RENAMED, at.isoformat(), "", at, self.issue.title, title)
        self._become(title=title)

    def said(self, comment: Comment) -> None:
        """Let somebody comment."""
        self._keep(comment)
        self._enter(Happening.COMMENT_ADDED, comment.id, comment.author, comment.created_at, None, comment.text)
        self.events.append(
            CommentAdded(
                **self._common(comment.created_at, Happening.COMMENT_ADDED, comment.id),
                promotion_id=self.issue.promotion_id,
                comment_id=comment.id,
                author=comment.author,
                text=comment.text,
            )
        )
        self._read(comment)

    def edited(self, comment: Comment, at: datetime) -> None:
        """Let a comment get another text, or be there again: what was read in it is read again."""
        before = self.known.comments[comment.id].text
        self._keep(comment)
        self._enter(
            Happening.COMMENT_EDITED, f"{comment.id}@{at.isoformat()}", comment.author, at, before, comment.text
        )
        self._read(comment)

    def deleted(self, comment_id: str, at: datetime) -> None:
        """Let a comment go: what was read in it does not hold any more, but for what was told already."""
        comment = replace(self.known.comments[comment_id], deleted_at=at)
        self._keep(comment)
        self._enter(Happening.COMMENT_DELETED, f"{comment_id}@{at.isoformat()}", comment.author, at, comment.text, None)
        self._withdraw_remarks(comment_id, frozenset())
        fund = self.known.funds.get(comment_id)
        if fund is not None and fund.state in {FundState.WAITING, FundState.ASKED}:
            self._decide(fund, FundState.DISMISSED, "okgames", at)

    def attached(self, attachment: Attachment, evidence_id: UUID | None) -> None:
        self._keep_attachment(attachment)
        self._enter(
            Happening.ATTACHMENT_ADDED,
            attachment.id,
            attachment.author,
            attachment.created_at,
            None,
            attachment.file_name,
        )
        self.events.append(
            AttachmentAdded(
                **self._common(attachment.created_at, Happening.ATTACHMENT_ADDED, attachment.id),
                promotion_id=self.issue.promotion_id,
                attachment_id=attachment.id,
                file_name=attachment.file_name,
                evidence_id=evidence_id,
            )
        )

    def removed(self, attachment_id: str, at: datetime) -> None:
        attachment = replace(self.known.attachments[attachment_id], removed_at=at)
        self._keep_attachment(attachment)
        self._enter(Happening.ATTACHMENT_REMOVED, attachment_id, "", at, attachment.file_name, None)

    def confirm_fund(self, amount_oks: int, by: str, at: datetime, comment_id: str = "") -> None:
        """Take a sum as what OK put on the account, told by a comment if one is named; the same again is nothing."""
        issue, said = self.issue, self.known.funds.get(comment_id)
        is_known = issue.fund_oks == amount_oks and (said is None or said.state is FundState.CONFIRMED)
        if issue.promotion_id is None or is_known:
            return
        subject = f"{comment_id}@{at.isoformat()}"
        self._enter(Happening.FUND_CONFIRMED, subject, by, at, None, str(amount_oks))
        self._become(fund_oks=amount_oks)
        for fund in list(self.known.funds.values()):
            if fund.comment_id == comment_id:
                self._decide(fund, FundState.CONFIRMED, by, at)
            elif fund.state in {FundState.WAITING, FundState.ASKED}:
                self._decide(fund, FundState.DISMISSED, by, at)
        self.events.append(
            PrizeFundConfirmed(
                **self._common(at, Happening.FUND_CONFIRMED, subject),
                promotion_id=issue.promotion_id,
                link=self.link(comment_id),
                amount_oks=amount_oks,
            )
        )

    def dismiss_fund(self, comment_id: str, by: str, at: datetime) -> None:
        """Take a person's word that a comment tells no prize fund."""
        fund = self.known.funds[comment_id]
        if fund.state is not FundState.DISMISSED:
            self._enter(Happening.FUND_DISMISSED, f"{comment_id}@{at.isoformat()}", by, at, None, None)
            self._decide(fund, FundState.DISMISSED, by, at)

    def tick(self, remark: Remark, by: str | None, at: datetime) -> None:
        """Mark a remark as dealt with by somebody, or with None as open again."""
        ticked = replace(remark, done_by=by, done_at=None if by is None else at)
        self._keep_remarks([ticked if each == remark else each for each in self.known.remarks])

    def reconsider(self) -> None:
        """Look again at a status that may have got a meaning since."""
        self._judge(self.issue.status, f"{self.issue.status}@reconsidered", self.issue.updated_at)

    def link(self, comment_id: str = "") -> str:
        """Return the address of the issue, or of one of its comments."""
        return f"{self.issue.url}?focusedCommentId={comment_id}" if comment_id else self.issue.url

    def _judge(self, status: str, subject: str, at: datetime) -> None:
        meaning = meaning_of(self.statuses, status)
        if meaning is None:
            self.unmapped.append(status)
        issue = self.issue
        if issue.promotion_id is None:
            return
        if meaning is JiraMeaning.APPROVED and issue.verdict is not Verdict.APPROVED:
            self._enter(Happening.APPROVED, subject, "", at, None, status)
            self._become(verdict=Verdict.APPROVED)
            approved = self._common(at, Happening.APPROVED, subject)
            self.events.append(RequestApproved(**approved, promotion_id=issue.promotion_id, link=issue.url))
            self._settle_funds(at)
        if meaning is JiraMeaning.DECLINED and issue.verdict is not Verdict.DECLINED:
            self._enter(Happening.DECLINED, subject, "", at, None, status)
            self._become(verdict=Verdict.DECLINED)
            declined = self._common(at, Happening.DECLINED, subject)
            reason = self._last_word() or f"OK moved the request to {status}."
            self.events.append(
                RequestDeclined(**declined, promotion_id=issue.promotion_id, link=issue.url, reason=reason)
            )

    def _last_word(self) -> str:
        theirs = [each for each in self.known.comments.values() if not each.is_ours and each.deleted_at is None]
        return max(theirs, key=lambda each: each.created_at).text[:_LONGEST_REASON] if theirs else ""

    def _read(self, comment: Comment) -> None:
        if comment.is_ours:
            return
        if self.issue.task is JiraTask.OK:
            self._read_remarks(comment)
        if self.issue.promotion_id is not None:
            self._read_fund(comment)

    def _read_remarks(self, comment: Comment) -> None:
        lines = listed_remarks(comment.text)
        if not lines and meaning_of(self.statuses, self.issue.status) is JiraMeaning.ANSWER_WANTED:
            lines = [comment.text.strip()]
        self._withdraw_remarks(comment.id, frozenset(lines))
        there = {remark.text for remark in self.known.remarks if remark.comment_id == comment.id}
        new = [Remark(comment.id, line, place) for place, line in enumerate(lines) if line not in there]
        self._keep_remarks([*self.known.remarks, *new])

    def _withdraw_remarks(self, comment_id: str, but: frozenset[str]) -> None:
        self._keep_remarks(
            [
                replace(remark, is_withdrawn=remark.text not in but) if remark.comment_id == comment_id else remark
                for remark in self.known.remarks
            ]
        )

    def _read_fund(self, comment: Comment) -> None:
        before = self.known.funds.get(comment.id)
        if before is not None and before.state is FundState.CONFIRMED:
            return
        reading = read_fund(comment.text, self.issue.expected_oks)
        if reading is None:
            if before is not None:
                self._decide(before, FundState.DISMISSED, "okgames", comment.updated_at)
            return
        if self.issue.fund_oks == reading.amount_oks and reading.is_certain:
            return  # OK says once more what it said before
        is_waiting = reading.is_certain and self.issue.fund_oks is None
        state = FundState.WAITING if is_waiting else FundState.ASKED
        self._keep_fund(Fund(comment.id, reading.amount_oks, reading.is_certain, state))
        if self.issue.verdict is Verdict.APPROVED:
            self._settle_funds(comment.updated_at)

    def _settle_funds(self, at: datetime) -> None:
        """Confirm what was certain before OK approved: those who follow the promotion hear of it in this order."""
        waiting = [fund for fund in self.known.funds.values() if fund.state is FundState.WAITING]
        if waiting and waiting[0].amount_oks is not None:
            author = self.known.comments[waiting[0].comment_id].author
            self.confirm_fund(waiting[0].amount_oks, author, at, waiting[0].comment_id)

    def _decide(self, fund: Fund, state: FundState, by: str, at: datetime) -> None:
        self._keep_fund(replace(fund, state=state, decided_by=by, decided_at=at))

    def _become(self, **fields: object) -> None:
        self.known = replace(self.known, issue=replace(self.issue, **fields))  # type: ignore[arg-type]

    def _keep(self, comment: Comment) -> None:
        self.known = replace(self.known, comments={**self.known.comments, comment.id: comment})

    def _keep_attachment(self, attachment: Attachment) -> None:
        self.known = replace(self.known, attachments={**self.known.attachments, attachment.id: attachment})

    def _keep_fund(self, fund: Fund) -> None:
        self.known = replace(self.known, funds={**self.known.funds, fund.comment_id: fund})

    def _keep_remarks(self, remarks: list[Remark]) -> None:
        self.known = replace(self.known, remarks=tuple(remarks))

    def _enter(
        self, kind: Happening, subject: str, author: str, at: datetime, old: str | None, new: str | None
    ) -> None:
        entry_id = derive_id("jira_entry", self.issue.id, kind, subject)
        self.entries.append(Entry(entry_id, kind, subject, author, old, new, at))

    def _common(self, at: datetime, *what: object) -> _Common:
        return {
            "id": derive_id("jira_event", self.issue.id, *what),
            "occurred_at": at,
            "application_key": self.issue.application_key,
            "issue_key": self.issue.key,
        }
