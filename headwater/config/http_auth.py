"""How an HTTP source knows who asks: each kind names keys of the source's secret, never a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from headwater.config.address import PathOrUrl
from headwater.config.secret_name import SecretKey, SecretText, no_secrets
from headwater.config.strict import Strict

_KEY = re.compile(r"\{(\w+)\}")


class NoAuth(Strict):
    """The API is open."""

    kind: Literal["none"] = "none"


class BearerAuth(Strict):
    """A token from the source's secret goes into the Authorization header."""

    kind: Literal["bearer"]
    token: SecretKey = Field("access_token", description="Key of the token within the secret.")


class HeadersAuth(Strict):
    """Values from the source's secret go into headers of their own."""

    kind: Literal["headers"]
    headers: dict[str, SecretKey] = Field(
        min_length=1, description="Key within the secret by header name; a key may hold {account}."
    )


class QueryAuth(Strict):
    """Values from the source's secret go into query parameters, or into the form of a post that has no body."""

    kind: Literal["query"]
    params: dict[str, SecretKey] = Field(min_length=1, description="Key within the secret by name of the parameter.")


class BasicAuth(Strict):
    """A user and a password, of which {key} stands for a value of the source's secret and the rest for itself."""

    kind: Literal["basic"]
    user: SecretText = Field(description="Such as `{user}`, or `{email}/token`, or a word that the API wants.")
    password: SecretText = Field("", description="Such as `{password}`; empty where the API takes the key as user.")

    def filled(self, value_of: Callable[[str], str]) -> str:
        """User and password as HTTP puts them together, with the secret's values at their keys."""
        return ":".join(_KEY.sub(lambda found: value_of(found[1]), text) for text in (self.user, self.password))


class OAuth(Strict):
    """A refresh token from the source's secret buys short-lived access tokens; a rotated one is written back to it."""

    kind: Literal["oauth"]
    token_url: PathOrUrl = Field(description="Absolute, or a path under base_url.")
    refresh_token: SecretKey = Field("refresh_token", description="Key of the refresh token within the secret.")
    client_id: SecretKey = Field("client_id", description="Key of the client's id within the secret.")
    client_secret: SecretKey = Field("client_secret", description="Key of the client's secret within the secret.")


class ClientCredentials(Strict):
    """The client's own id and secret, from the source's secret, buy short-lived access tokens."""

    kind: Literal["client_credentials"]
    token_url: PathOrUrl = Field(description="Absolute, or a path under base_url.")
    client_id: SecretKey = Field("client_id", description="Key of the client's id within the secret.")
    client_secret: SecretKey = Field("client_secret", description="Key of the client's secret within the secret.")
    params: Annotated[dict[str, str], AfterValidator(no_secrets)] = Field(
        {}, description="What else the token is asked with, such as `scope` or `audience`."
    )


class LongLivedToken(Strict):
    """A token of weeks from the source's secret; one that is past half of its life is exchanged, and the new one written back."""

    kind: Literal["long_lived"]
    token_url: PathOrUrl = Field(
        description="Where a token is exchanged: a path under base_url; may hold {api_version}."
    )
    grant_type: str = Field(
        description="Such as `fb_exchange_token`; the parameter that bears the token is called the same."
    )
    token: SecretKey = Field("access_token", description="Key of the token within the secret.")
    client_id: SecretKey = Field("client_id", description="Key of the app's id within the secret.")
    client_secret: SecretKey = Field("client_secret", description="Key of the app's secret within the secret.")
    warn_days: int = Field(
        14, ge=1, description="A token that could not be exchanged and has fewer days left than this raises an alarm."
    )


Grant = OAuth | ClientCredentials
AnyAuth = Annotated[
    NoAuth | BearerAuth | HeadersAuth | QueryAuth | BasicAuth | OAuth | ClientCredentials | LongLivedToken,
    Field(discriminator="kind"),
]
