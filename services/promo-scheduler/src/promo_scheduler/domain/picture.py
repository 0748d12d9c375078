import hashlib
from typing import Final

from okgames.picture import decode
from promo_scheduler.domain.promotion import Picture

_LONGEST_NAME: Final = 100


def to_keep(file_name: str, content: bytes) -> Picture:
    """Return a picture as evidence keeps it, under a safe name; raise NoPicture for what cannot be decoded."""
    media_type = decode(content).media_type
    return Picture(_safe(file_name), media_type, hashlib.sha256(content).hexdigest(), content)


def _safe(file_name: str) -> str:
    """Return a name that is safe as a file's, in an archive and in a header."""
    kept = "".join(each if each.isalnum() or each in "._- " else "_" for each in file_name.strip())
    return kept[:_LONGEST_NAME].strip(". ") or "picture"
