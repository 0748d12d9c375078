import io
from dataclasses import dataclass
from typing import Final

from PIL import Image, UnidentifiedImageError

MOST_BYTES: Final = 5 * 2**20

_MOST_PIXELS: Final = 40_000_000
_MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg"}


class NoPicture(ValueError):
    """The bytes are no PNG or JPEG picture that can be decoded, or too many; the text says which."""


@dataclass(frozen=True, slots=True)
class Format:
    """Say what a picture was found to be, whatever its file is called; the size is in pixels."""

    media_type: str
    width: int
    height: int


def decode(content: bytes) -> Format:
    """Decode a PNG or JPEG picture whole, so that nobody takes what only looks like one; raise NoPicture."""
    if len(content) > MOST_BYTES:
        raise NoPicture(f"The picture has more than {MOST_BYTES} bytes.")
    try:
        with Image.open(io.BytesIO(content), formats=list(_MEDIA_TYPES)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise NoPicture(f"The picture has more than {_MOST_PIXELS} pixels.")
            image.load()
            return Format(_MEDIA_TYPES[image.format or ""], image.width, image.height)
    except NoPicture:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NoPicture("This is no PNG or JPEG picture that can be decoded.") from error
