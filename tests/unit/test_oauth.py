from __future__ import annotations

import json

import pytest

from headwater.config import OAuth, Retry
from headwater.errors import ExpiredTokenError, FatalSourceError
from headwater.sources.http.client import Credentials, Request, Response
from headwater.sources.http.oauth import RefreshedTokens
from tests.support.http_fakes import FakeClock, FakeSend, answer, client, never_saved

SECRET = {"client_id": "id-of-client", "client_secret": "secret-of-client", "refresh_token": "refresh-1"}


class Provider:
    """Issues tokens token-1, token-2, … and answers the newest of them only."""

    def __init__(self, life: int | None = 1800, *, rotates: bool = False, refuses: int = 0) -> None:
        self.life = life
        self.rotates = rotates
        self.refuses = refuses
        self.issued = 0
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: Request) -> Response:
        if request.url.endswith("/token"):
            if self.refuses:
                self.refuses -= 1
                return answer({}, 429)
            self.issued += 1
            rotated = {"refresh_token": f"refresh-{self.issued + 1}"} if self.rotates else {}
            life = {"expires_in": self.life} if self.life is not None else {}
            return answer({"access_token": f"token-{self.issued}", **life, **rotated})
        good = request.headers["Authorization"] == f"Bearer token-{self.issued}"
        return answer({"data": []}) if good else answer({"error": "expired"}, 401)

    def expire(self) -> None:
        self.issued += 1


def expired(response: Response) -> ExpiredTokenError | None:
    return ExpiredTokenError("HTTP 401: expired") if response.status == 401 else None


def tokens(provider: Provider, clock: FakeClock, secret=SECRET, save=never_saved) -> RefreshedTokens:
    asking = client(provider.send, clock, Retry(attempts=3))
    return RefreshedTokens(asking, OAuth(kind="oauth", token_url="/token"), secret, save)


def read(provider: Provider, clock: FakeClock, **changes):
    held = tokens(provider, clock, **changes)
    return client(provider.send, clock, credentials=Credentials(tokens=held), classify=expired)


def test_a_token_is_bought_once_and_used_until_shortly_before_it_runs_out():
    provider, clock = Provider(), FakeClock()
    reading = read(provider, clock)
    reading.get("/a")
    clock.now += 1700
    reading.get("/b")
    assert provider.issued == 1
    clock.now += 50
    reading.get("/c")
    assert provider.issued == 2
    form = provider.send.requests[0].params
    assert form["grant_type"] == "refresh_token"
    assert form["refresh_token"] == "refresh-1"


def test_a_token_that_ran_out_early_is_replaced_in_mid_read():
    provider, clock = Provider(), FakeClock()
    reading = read(provider, clock)
    reading.get("/a")
    provider.expire()
    assert reading.get("/b") == {"data": []}


def test_a_token_that_is_refused_as_soon_as_it_is_made_is_renewed_just_once():
    provider, clock = Provider(), FakeClock()
    reading = read(provider, clock)
    provider.answer = lambda request: (
        answer({"access_token": "t"}) if request.url.endswith("/token") else answer({}, 401)
    )
    provider.send.handler = provider.answer
    with pytest.raises(ExpiredTokenError):
        reading.get("/a")
    assert [request.url.rsplit("/", 1)[-1] for request in provider.send.requests] == ["token", "a", "token", "a"]


def test_a_rotated_refresh_token_is_saved_at_once_and_used_next():
    provider, clock, saved = Provider(rotates=True), FakeClock(), []
    reading = read(provider, clock, save=saved.append)
    reading.get("/a")
    clock.now += 1800
    reading.get("/b")
    assert saved == [SECRET | {"refresh_token": "refresh-2"}, SECRET | {"refresh_token": "refresh-3"}]
    asked = [request.params["refresh_token"] for request in provider.send.requests if request.url.endswith("/token")]
    assert asked == ["refresh-1", "refresh-2"]


def test_a_throttled_token_endpoint_is_asked_again():
    provider, clock = Provider(refuses=2), FakeClock()
    read(provider, clock).get("/a")
    assert provider.issued == 1
    assert len(clock.slept) == 2


def test_a_refused_grant_needs_a_person_and_tells_no_secret():
    send = FakeSend(answer({"error": "invalid_grant", "sent": SECRET["refresh_token"]}, 400))
    asking = client(send, credentials=Credentials(secrets=tuple(SECRET.values())))
    held = RefreshedTokens(asking, OAuth(kind="oauth", token_url="/token"), SECRET, never_saved)
    with pytest.raises(FatalSourceError, match="invalid_grant") as caught:
        held.current()
    assert "refresh-1" not in str(caught.value)
    assert "refresh-1" not in repr(held)


@pytest.mark.parametrize("key", sorted(SECRET))
def test_a_secret_without_a_part_of_the_grant_names_it(key):
    provider, clock = Provider(), FakeClock()
    with pytest.raises(FatalSourceError, match=f"the secret has no {key}"):
        tokens(provider, clock, secret=SECRET | {key: ""}).current()
    assert provider.send.requests == []


@pytest.mark.parametrize("reply", [{}, {"access_token": ""}, {"access_token": 1}, []])
def test_an_answer_without_a_token_needs_a_person(reply):
    held = RefreshedTokens(
        client(FakeSend(answer(reply))), OAuth(kind="oauth", token_url="/token"), SECRET, never_saved
    )
    with pytest.raises(FatalSourceError, match="no `access_token`"):
        held.current()


def test_no_token_reaches_an_error():
    send = FakeSend(answer({"access_token": "token-of-today"}), answer(json.dumps("got token-of-today").encode(), 404))
    clock = FakeClock()
    held = RefreshedTokens(client(send, clock), OAuth(kind="oauth", token_url="/token"), SECRET, never_saved)
    with pytest.raises(FatalSourceError) as caught:
        client(send, clock, credentials=Credentials(tokens=held)).get("/a")
    assert "token-of-today" not in str(caught.value)
