from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from okgames.database import Tx
from okgames.events import PromotionStep
from promo_scheduler.domain.promotion import Evidence, EvidenceKind, Picture


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Say where a picture can be had, without its bytes."""

    file_name: str
    media_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """Hold evidence and, where it has a picture, what is known of that."""

    evidence: Evidence
    picture: StoredPicture | None


async def save_evidence(tx: Tx, evidence: Sequence[Evidence]) -> None:
    """Add evidence; what is there already stays as it is."""
    if not evidence:
        return
    await tx.execute(
        """
        insert into evidence (
            id, promotion_id, step, kind, text, said_by, happened_at, recorded_at, file_name, media_type, sha256,
            content
        )
        select * from unnest(
            $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::bytea[]
        )
        on conflict do nothing
        """,
        *zip(*map(_row, evidence), strict=True),
    )


def _row(evidence: Evidence) -> tuple[object, ...]:
    picture = evidence.picture
    return (
        evidence.id,
        evidence.promotion_id,
        evidence.step,
        evidence.kind,
        evidence.text,
        evidence.by,
        evidence.happened_at,
        evidence.recorded_at,
        *((None,) * 4 if picture is None else (picture.file_name, picture.media_type, picture.sha256, picture.content)),
    )


async def find_evidence(tx: Tx, promotion_id: UUID) -> list[StoredEvidence]:
    """Return what is kept of a promotion, in the order in which it was recorded."""
    rows = await tx.fetch(
        """
        select
            id, promotion_id, step, kind, text, said_by, happened_at, recorded_at, file_name, media_type, sha256
        from evidence
        where promotion_id = $1
        order by position
        """,
        promotion_id,
    )
    return [
        StoredEvidence(
            Evidence(row[0], row[1], PromotionStep(row[2]), EvidenceKind(row[3]), *row[4:8]),
            StoredPicture(*row[8:]) if row["sha256"] else None,
        )
        for row in rows
    ]


async def find_picture(tx: Tx, promotion_id: UUID, evidence_id: UUID) -> Picture | None:
    row = await tx.fetchrow(
        """
        select file_name, media_type, sha256, content
        from evidence
        where promotion_id = $1 and id = $2 and content is not null
        """,
        promotion_id,
        evidence_id,
    )
    return None if row is None else Picture(*row)
