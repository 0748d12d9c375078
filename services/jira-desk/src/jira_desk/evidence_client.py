import hashlib
from typing import Final
from uuid import UUID

import aiohttp

from jira_desk.domain.answer import NotDone
from okgames.settings import Settings

_SECONDS: Final = 30
_MOST_BYTES: Final = 20 * 1024 * 1024


class EvidenceClient:
    """Fetch the pictures that people gave to the promo-scheduler, over its HTTP API."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.resolved_api_url
        self._token = settings.resolved_service_token

    async def picture(self, promotion_id: UUID, evidence_id: UUID, sha256: str) -> bytes:
        """Return a picture whose SHA-256, in hex, is the expected one; raise NotDone."""
        path = f"/v1/promotions/{promotion_id}/evidence/{evidence_id}"
        if self._token is None:
            raise NotDone("no token to fetch the picture with: set OKGAMES_SERVICE_TOKEN or OKGAMES_ADMIN_TOKEN")
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}"}
        timeout = aiohttp.ClientTimeout(_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.get(f"{self._url}{path}", allow_redirects=False) as response,
            ):
                content = await _bounded(response)
        except (aiohttp.ClientError, OSError) as error:
            raise NotDone(f"the promo-scheduler does not answer: {type(error).__name__}") from error
        if response.status != 200:
            raise NotDone(f"the promo-scheduler does not give the picture ({response.status})")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise NotDone("the promo-scheduler gives another picture than it told of")
        return content


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    taken = bytearray()
    async for chunk in response.content.iter_any():
        taken += chunk
        if len(taken) > _MOST_BYTES:
            raise NotDone(f"the picture has more than {_MOST_BYTES} bytes")
    return bytes(taken)
