"""The systems that push events: each request goes to the API as from its sender, and must get the expected answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import requests

from headwater.deploy.entrances import Entrances
from headwater.errors import HeadwaterError
from local.counterparts.counterpart import Place
from local.counterparts.entrance import ThroughEntrance, local_project
from local.world.http_push import STREAM, WRONG_SENDER, Sent

_KEYS = {"stores": "local-key-of-the-stores", "call_centre": "local-key-of-the-call-centre"}
_SENDERS_AT_ONCE = 4
_PATIENCE_SECONDS = 30.0


class HttpPush(ThroughEntrance):
    """The counterpart of source `http_push`."""

    source = "http_push"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._address = place.home / "http_push.json"

    def start(self) -> None:
        """Checks whether the API is still there: a restarted gateway has none."""
        if not self._is_seeded():
            self._address.unlink(missing_ok=True)

    def endpoints(self) -> Mapping[str, str]:
        """The URL that events are pushed to, once it is deployed."""
        return {"http_push": json.loads(self._address.read_text())["url"]} if self._address.exists() else {}

    def secret(self) -> Mapping[str, str]:
        """The senders' keys."""
        return _KEYS

    def _send(self, since: date) -> None:
        url = self._url()
        with psycopg.connect(self._place.world_dsn) as connection:
            rows = connection.execute(
                "select sender, idempotency_key, content_type, body, status, duplicate from push.requests"
                " where since >= %s order by number",
                [since],
            ).fetchall()
        sent = [Sent(sender, key, kind, bytes(body), status, twice) for sender, key, kind, body, status, twice in rows]
        # A repeated request, or one with a used key, is sent once the first has been answered.
        first = [request for request in sent if request.status == 202 and not request.duplicate]
        later = [request for request in sent if request.status != 202 or request.duplicate]
        with requests.Session() as session, ThreadPoolExecutor(_SENDERS_AT_ONCE) as senders:
            answered = list(senders.map(lambda request: _post(session, url, request), first))
            answered += [_post(session, url, request) for request in later]
        _check([*first, *later], answered)

    def _url(self) -> str:
        name = Entrances(local_project()).events_api
        [api_id] = [found["ApiId"] for found in self._aws("apigatewayv2").get_apis()["Items"] if found["Name"] == name]
        url = f"{self._place.aws_endpoint}/_aws/execute-api/{api_id}/events/{STREAM.replace('.', '/')}"
        self._address.write_text(json.dumps({"url": url}))
        return url


def _post(session: requests.Session, url: str, request: Sent) -> tuple[int, bool]:
    headers = {"content-type": request.content_type, "x-api-key": _KEYS.get(request.sender, WRONG_SENDER)}
    if request.idempotency_key is not None:
        headers["idempotency-key"] = request.idempotency_key
    answer = session.post(url, data=request.body, headers=headers, timeout=_PATIENCE_SECONDS)
    return answer.status_code, answer.status_code == 202 and bool(answer.json()["duplicate"])


def _check(sent: Sequence[Sent], answered: Sequence[tuple[int, bool]]) -> None:
    wrong = [
        f"{request.sender} {request.idempotency_key}: {status} instead of {request.status}"
        for request, (status, duplicate) in zip(sent, answered, strict=True)
        if (status, duplicate) != (request.status, request.duplicate)
    ]
    if wrong:
        raise HeadwaterError(
            f"http_push: {len(wrong)} requests got another answer than they must: {'; '.join(wrong[:3])}"
        )
