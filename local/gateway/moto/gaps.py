"""Fills what moto 5.2.5 lacks or answers wrongly and deploying, Terraform or the pipeline needs; a module for each service."""

from __future__ import annotations

from local.gateway.moto import athena, awslambda, budgets, glue, iam, kinesis, lakeformation, s3, sqs, sts


def install() -> None:
    """Fills the gaps of every service."""
    for service in (athena, awslambda, budgets, glue, iam, kinesis, lakeformation, s3, sqs, sts):
        service.install()
