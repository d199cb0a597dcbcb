"""Tokens of identity providers outside, as GitHub's workflows show them: which roles they may assume.

A token's signature is not verified: the gateway has no keys of anybody outside, and nobody from outside reaches it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from moto.iam.models import Role, iam_backends

from local.gateway.iam.policy import Request, decide
from local.gateway.iam.policy import read as read_policy


@dataclass(frozen=True)
class Token:
    """What a token says of a provider that the account knows: for whom it was made out, and about whom."""

    provider_arn: str
    issuer: str
    audience: str
    subject: str

    def may_assume(self, role: Role) -> bool:
        """True when a role's trust policy lets the token's bearer assume it."""
        told = {f"{self.issuer}:aud": (self.audience,), f"{self.issuer}:sub": (self.subject,)}
        request = Request(frozenset({self.provider_arn}), "sts:AssumeRoleWithWebIdentity", role.arn, told)
        return decide(request, (), read_policy(str(role.assume_role_policy_document))).allowed


def read(account: str, token: str) -> Token | None:
    """Reads a JSON Web Token; None when it is none, or when the account has no provider of its issuer for its audience."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        issuer, audience, subject = (str(claims[name]) for name in ("iss", "aud", "sub"))
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    host = issuer.removeprefix("https://")
    for provider in iam_backends[account]["aws"].open_id_providers.values():
        if provider.url == host and audience in provider.client_id_list:
            return Token(provider.arn, host, audience, subject)
    return None
