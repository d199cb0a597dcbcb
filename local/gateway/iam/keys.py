"""Which uses of a customer's key a call leads to: services encrypt and decrypt what they keep in the name of whoever calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.kinesis.models import kinesis_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.scheduler.models import scheduler_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local.gateway.calls import Asked
from local.gateway.settings import GatewaySettings

_DECRYPTS = {
    *("s3:GetObject", "secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "kinesis:GetRecords"),
    # What they show is kept encrypted: a function's variables, a schedule's input.
    *("lambda:GetFunction", "lambda:GetFunctionConfiguration", "scheduler:GetSchedule"),
}
_ENCRYPTS = {
    *(
        "s3:PutObject",
        "secretsmanager:PutSecretValue",
        "sqs:SendMessage",
        "sns:Publish",
        "kinesis:PutRecord",
        "kinesis:PutRecords",
    ),
}


class Keys:
    """What is encrypted with which key."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._account, self._region = settings.account_id, settings.region

    def uses(self, asked: Asked) -> Iterator[Asked]:
        """Lists the uses of a key that something which is asked for leads to; none where no key of ours is in use."""
        action, resource, _ = asked
        if action not in _DECRYPTS and action not in _ENCRYPTS:
            return
        service = action.partition(":")[0]
        key, context = self._key(service, resource)
        if key is None or (arn := self._arn(key)) is None:
            return
        told = {"kms:ViaService": (f"{service}.{self._region}.amazonaws.com",), **context}
        if action in _ENCRYPTS:
            yield Asked("kms:GenerateDataKey", arn, told)
        # Whoever sends to a queue or a topic checks the data key that it is given.
        if action in _DECRYPTS or service in {"sqs", "sns"}:
            yield Asked("kms:Decrypt", arn, told)

    def aliases(self, arn: str) -> dict[str, tuple[str, ...]]:
        """What a request for a key tells of the key's aliases, by condition key; nothing where it is for something else."""
        if not arn.startswith("arn:aws:kms:"):
            return {}
        key = kms_backends[self._account][self._region].keys.get(arn.rpartition("/")[2])
        return {"kms:ResourceAliases": tuple(key.aliases)} if key and key.aliases else {}

    def _arn(self, key: str) -> str | None:
        """The ARN of a key that is given by its ARN, its id or an alias; None when there is no such key."""
        backend = kms_backends[self._account][self._region]
        name = backend.get_key_id_from_alias(key) if key.startswith("alias/") else key.rpartition("/")[2]
        return str(backend.keys[name].arn) if name in backend.keys else None

    def _key(self, service: str, arn: str) -> tuple[str | None, dict[str, tuple[str, ...]]]:
        name = arn.rpartition(":")[2]
        if service == "s3":
            bucket = s3_backends[self._account]["aws"].buckets.get(name.partition("/")[0])
            # With a bucket key, all of a bucket's objects have its name for their context.
            return _default_key(bucket.encryption) if bucket else None, {
                "kms:EncryptionContext:aws:s3:arn": (arn.partition("/")[0],)
            }
        if service == "secretsmanager":
            secrets = secretsmanager_backends[self._account][self._region].secrets
            secret = next((kept for kept in secrets.values() if kept.arn == arn), None)
            known = secret.kms_key_id if secret else None
            own = known if known and not known.startswith("alias/aws/") else None
            return own, {"kms:EncryptionContext:SecretARN": (arn,)}
        if service == "sqs":
            queue = sqs_backends[self._account][self._region].queues.get(name)
            return (queue.kms_master_key_id or None) if queue else None, {}
        if service == "sns":
            topic = sns_backends[self._account][self._region].topics.get(arn)
            return (topic.kms_master_key_id or None) if topic else None, {}
        if service == "lambda":
            functions = lambda_backends[self._account][self._region].list_functions()
            own = next((made.kms_key_arn for made in functions if made.function_arn == arn), None)
            return own, {"kms:EncryptionContext:aws:lambda:FunctionArn": (arn,)}
        if service == "scheduler":
            groups = scheduler_backends[self._account][self._region].schedule_groups.values()
            own = next(
                (made.kms_key_arn for group in groups for made in group.schedules.values() if made.arn == arn), None
            )
            return own, {"kms:EncryptionContext:aws:scheduler:schedule:arn": (arn,)}
        stream = kinesis_backends[self._account][self._region].streams.get(name.rpartition("/")[2])
        return (stream.key_id if stream and stream.encryption_type == "KMS" else None), {}


def _default_key(encryption: dict[str, Any] | None) -> str | None:
    rule = (encryption or {}).get("Rule", {})
    default: dict[str, str] = rule.get("ApplyServerSideEncryptionByDefault", {})
    return default.get("KMSMasterKeyID") if default.get("SSEAlgorithm") == "aws:kms" else None
