import io
import struct
import zlib

import pytest
from PIL import Image

from okgames.picture import MOST_BYTES, Format, NoPicture, decode


def picture(kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(content, kind)
    return content.getvalue()


def png_that_says(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    whole = picture()
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_a_picture_is_what_its_bytes_say(kind: str, media_type: str) -> None:
    assert Format(media_type, 30, 20) == decode(picture(kind))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"picture",
        picture("GIF"),
        picture()[:-30],
        png_that_says(256, 256),
        png_that_says(100_000, 100_000),
        picture() + b"\0" * MOST_BYTES,
    ],
)
def test_what_cannot_be_decoded_whole_is_no_picture(content: bytes) -> None:
    with pytest.raises(NoPicture):
        decode(content)
