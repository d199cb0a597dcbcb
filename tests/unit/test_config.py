from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from headwater.config import Project, load_deployed, parse_date
from headwater.deploy.project import load_project
from headwater.errors import ConfigError
from tests.support.paths import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    return tmp_path


def edit(root: Path, file: str, old: str, new: str) -> None:
    path = root / "config" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("environment", ["local", "dev", "staging", "prod"])
def test_every_environment_loads(environment: str) -> None:
    assert load_project(ROOT, environment).environment.name == environment


def test_a_deployed_project_reads_back_as_it_was_declared(project: Project) -> None:
    assert load_deployed(project.model_dump_json(by_alias=True)) == project


def test_a_project_that_an_older_version_deployed_is_refused_with_the_way_out(project: Project) -> None:
    older = project.model_dump(mode="json", by_alias=True) | {"gold": {"orders_a_day": "-- orders_a_day: …"}}
    with pytest.raises(ConfigError, match=r"deployed project file: gold\.orders_a_day: .*hint: .*deploy again"):
        load_deployed(json.dumps(older))


def test_an_unknown_key_is_refused_with_file_and_path(root: Path) -> None:
    edit(root, "sources/rds_postgres.yaml", "relation: shop.customers", "relaton: shop.customers")
    with pytest.raises(
        ConfigError,
        match=r"rds_postgres\.yaml:\d+: .*streams\.customers\.relaton: no such key relaton, did you mean relation",
    ):
        load_project(root, "local")


def test_a_key_that_is_no_column_is_refused(root: Path) -> None:
    edit(root, "tables/orders.yaml", "key: [order_id]", "key: [orderid]")
    with pytest.raises(ConfigError, match=r"tables/orders\.yaml:\d+: key: no column orderid, did you mean order_id"):
        load_project(root, "local")


def test_a_log_is_read_of_postgresql_only(root: Path) -> None:
    read = "read: { kind: log, slot: headwater_payments, publication: headwater }"
    by_watermark = "read: { kind: watermark, column: updated_at, overlap_minutes: 10 }\n    grows: payment_id"
    edit(root, "sources/rds_mysql.yaml", by_watermark, read)
    with pytest.raises(
        ConfigError, match=r"rds_mysql\.yaml:\d+: .*payments: read: log is for engine postgresql, not mysql"
    ):
        load_project(root, "local")


def test_a_log_stream_orders_its_versions_by_a_column(root: Path) -> None:
    edit(root, "tables/loyalty_accounts.yaml", "version: change_lsn\n", "")
    with pytest.raises(ConfigError, match=r"loyalty_accounts\.read: log needs the version of table loyalty_accounts"):
        load_project(root, "local")


def test_an_unknown_check_is_refused(root: Path) -> None:
    edit(root, "quality/orders.yaml", "is: in_set", "is: in_sett")
    with pytest.raises(ConfigError, match=r"quality/orders\.yaml"):
        load_project(root, "local")


def test_a_check_without_the_values_that_it_needs_is_refused(root: Path) -> None:
    edit(root, "quality/orders.yaml", "is: in_set, values: [completed, returned, cancelled]", "is: matches")
    with pytest.raises(ConfigError, match=r"quality/orders\.yaml:\d+: rows\.1\.pattern: is missing"):
        load_project(root, "local")


def test_a_check_of_an_unknown_column_is_refused(root: Path) -> None:
    edit(root, "quality/orders.yaml", "that: status", "that: state")
    with pytest.raises(
        ConfigError, match=r"quality/orders\.yaml:5: rows\.1\.that: no column state, did you mean status"
    ):
        load_project(root, "local")


def test_a_policy_that_is_no_yaml_is_refused(root: Path) -> None:
    (root / "config" / "quality" / "orders.yaml").write_text("table: [orders")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load_project(root, "local")


def test_a_file_must_be_named_like_what_it_declares(root: Path) -> None:
    (root / "config" / "quality" / "orders.yaml").rename(root / "config" / "quality" / "order.yaml")
    with pytest.raises(ConfigError, match=r"quality/order\.yaml:2: table: must be order, as the file is named"):
        load_project(root, "local")


def test_two_checks_with_one_id_are_refused(root: Path) -> None:
    edit(root, "quality/orders.yaml", "id: total_amount_complete", "id: status_known")
    with pytest.raises(ConfigError, match="check ids must be unique; twice: status_known"):
        load_project(root, "local")


def test_an_unknown_environment_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="known: dev, local, prod, staging"):
        load_project(ROOT, "qa")


def test_an_unknown_source_lists_the_known(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"known: .*facebook_ads, fx_rates, .*rds_postgres"):
        project.source("facebok")


@pytest.mark.parametrize("text", ["2024-13-01", "01.02.2024", "", "2024-1-1"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises((ConfigError, ValueError)):
        parse_date(text)
