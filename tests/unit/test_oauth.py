from __future__ import annotations

import json

import pytest

from headwater.config import ClientCredentials, OAuth, Retry
from headwater.errors import ExpiredTokenError, FatalSourceError, ThrottledError
from headwater.sources.http.auth import Auth
from headwater.sources.http.classify import classify_by_status
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.oauth import TokenAuth
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

    def answer(self, request: HttpRequest) -> HttpResponse:
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


def expired(response: HttpResponse) -> ExpiredTokenError | None:
    return ExpiredTokenError("HTTP 401: expired") if response.status == 401 else None


def renewing(send: FakeSend, clock: FakeClock | None = None, secret=SECRET, save=never_saved, **changes) -> TokenAuth:
    asking = client(send, clock, Retry(attempts=3), **changes)
    return TokenAuth(client=asking, grant=OAuth(kind="oauth", token_url="/token"), secret=secret, save=save)


def read(provider: Provider, clock: FakeClock, **changes):
    return client(provider.send, clock, auth=renewing(provider.send, clock, **changes), classify=expired)


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


def test_a_token_is_renewed_once_a_request_however_often_that_is_tried():
    clock = FakeClock()
    sold = [answer({"access_token": f"token-{number}"}) for number in (1, 2, 3)]
    refused = [answer({}, 401), answer({}, 500), answer({}, 401)]
    send = FakeSend(sold[0], refused[0], sold[1], *refused[1:], sold[2])
    with pytest.raises(ExpiredTokenError):
        client(send, clock, auth=renewing(send, clock), classify=lambda it: expired(it) or classify_by_status(it)).get(
            "/a"
        )
    assert [request.url.rsplit("/", 1)[-1] for request in send.requests] == ["token", "a", "token", "a", "a"]
    assert clock.slept == [2.0]


def test_a_token_endpoint_that_stays_throttled_is_not_tried_again_by_the_request():
    send, clock = FakeSend(handler=lambda request: answer({}, 429)), FakeClock()
    with pytest.raises(ThrottledError, match=r"^shop: POST /token: HTTP 429.*gave up after 3 tries"):
        client(send, clock, auth=renewing(send, clock)).get("/a")
    assert len(send.requests) == 3


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
    held = renewing(send, auth=Auth(secrets=tuple(SECRET.values())))
    with pytest.raises(FatalSourceError, match="invalid_grant") as caught:
        held.token()
    assert "refresh-1" not in str(caught.value)
    assert "refresh-1" not in repr(held)


@pytest.mark.parametrize("key", sorted(SECRET))
def test_a_secret_without_a_part_of_the_grant_names_it(key):
    provider, clock = Provider(), FakeClock()
    with pytest.raises(FatalSourceError, match=f"the secret has no {key}"):
        renewing(provider.send, clock, secret=SECRET | {key: ""}).token()
    assert provider.send.requests == []


@pytest.mark.parametrize("reply", [{}, {"access_token": ""}, {"access_token": 1}, []])
def test_an_answer_without_a_token_needs_a_person(reply):
    held = renewing(FakeSend(answer(reply)))
    with pytest.raises(FatalSourceError, match="no `access_token`"):
        held.token()


def test_no_token_reaches_an_error():
    send = FakeSend(answer({"access_token": "token-of-today"}), answer(json.dumps("got token-of-today").encode(), 404))
    clock = FakeClock()
    with pytest.raises(FatalSourceError) as caught:
        client(send, clock, auth=renewing(send, clock)).get("/a")
    assert "token-of-today" not in str(caught.value)


def test_a_clients_own_credentials_buy_a_token_and_another_when_it_has_run_out():
    provider, clock = Provider(rotates=True), FakeClock()
    grant = ClientCredentials(kind="client_credentials", token_url="/token", params={"scope": "read"})
    secret = {"client_id": "id-of-client", "client_secret": "secret-of-client"}
    # A refresh token that comes unasked is none of this grant's: nothing is written back.
    auth = TokenAuth(client=client(provider.send, clock), grant=grant, secret=secret, save=never_saved)
    shop = client(provider.send, clock, auth=auth, classify=expired)
    shop.get("/orders")
    provider.expire()
    shop.get("/orders")
    asked = [request for request in provider.send.requests if request.url.endswith("/token")]
    assert [request.params for request in asked] == [
        {**secret, "scope": "read", "grant_type": "client_credentials"}
    ] * 2


def test_a_client_without_credentials_needs_a_person():
    grant = ClientCredentials(kind="client_credentials", token_url="/token")
    auth = TokenAuth(client=client(FakeSend()), grant=grant, secret={"client_id": "x"}, save=never_saved)
    with pytest.raises(FatalSourceError, match=r"has no client_secret\. hint: add it"):
        auth.token()
