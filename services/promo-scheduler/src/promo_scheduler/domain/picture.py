import hashlib
import io
from typing import Final

from PIL import Image, UnidentifiedImageError

from promo_scheduler.domain.promotion import Picture

MOST_BYTES: Final = 5 * 2**20

_MOST_PIXELS: Final = 40_000_000
_MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg"}
_LONGEST_NAME: Final = 100


class NoPicture(ValueError):
    """The bytes are no PNG or JPEG picture that can be decoded, or too many; the text says which."""


def decode(file_name: str, content: bytes) -> Picture:
    """Decode a PNG or JPEG picture whole, so that nobody keeps what only looks like one; raise NoPicture."""
    if len(content) > MOST_BYTES:
        raise NoPicture(f"The picture has more than {MOST_BYTES} bytes.")
    try:
        with Image.open(io.BytesIO(content), formats=list(_MEDIA_TYPES)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise NoPicture(f"The picture has more than {_MOST_PIXELS} pixels.")
            image.load()
            media_type = _MEDIA_TYPES[image.format or ""]
    except NoPicture:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NoPicture("This is no PNG or JPEG picture that can be decoded.") from error
    return Picture(_safe(file_name), media_type, hashlib.sha256(content).hexdigest(), content)


def _safe(file_name: str) -> str:
    """Return a name that is safe as a file's, in an archive and in a header."""
    kept = "".join(each if each.isalnum() or each in "._- " else "_" for each in file_name.strip())
    return kept[:_LONGEST_NAME].strip(". ") or "picture"
