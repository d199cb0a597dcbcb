"""A small pipeline over two streams of the shop, under a name of its own: one that bad things happen to, and its twin."""

from __future__ import annotations

from headwater.client import Client
from headwater.deploy.deployment import Deployment
from local.stack import ROOT, Stack

from .pipeline import Pipeline, renamed


def twin(stack: Stack, name: str) -> Pipeline:
    """Deploys the pipeline over merged orders and customers with their history, and runs it once."""
    project = stack.project()
    shop = project.sources["rds_postgres"]
    streams = {stream: shop.streams[stream] for stream in ("customers", "orders")}
    project = project.model_copy(
        update={
            "environment": renamed(project.environment, name),
            "sources": {"rds_postgres": shop.model_copy(update={"streams": streams})},
            "tables": {table: project.tables[table] for table in streams},
            "quality": {table: project.quality[table] for table in streams},
            "identities": project.identities_of(streams),
            "gold": {"customer_analytics": project.gold["customer_analytics"]},
        }
    )
    deployment = Deployment(project, ROOT)
    stack.deploy(deployment)
    pipeline = Pipeline(stack, Client(deployment))
    pipeline.run_well()
    return pipeline
