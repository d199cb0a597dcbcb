# Schemas and views from files, the tables of gold as they were derived: what the local stack runs. A statement runs when it is
# new or has changed, and is written so that it may run again.
locals {
  files = concat(
    [for path in sort(fileset("${var.root}/sql/redshift/ddl", "*.sql")) : "${var.root}/sql/redshift/ddl/${path}"],
    [for path in sort(fileset("${var.root}/sql/redshift/views", "*.sql")) : "${var.root}/sql/redshift/views/${path}"],
  )
  lines = { for path in local.files : path => [for line in split("\n", file(path)) : line if !startswith(trimspace(line), "--")] }
  written = flatten([
    for path in local.files : [for text in split(";", join("\n", local.lines[path])) : trimspace(text) if trimspace(text) != ""]
  ])
  statements = concat(local.written, values(var.tables))
  named      = { for text in local.statements : regex("^[A-Z ]+(?:IF NOT EXISTS )?[a-z0-9_.]+", replace(text, "\n", " ")) => text }
  schemas    = { for name, text in local.named : name => text if startswith(name, "CREATE SCHEMA") }
  tables     = { for name, text in local.named : name => text if startswith(name, "CREATE TABLE") }
  others     = { for name, text in local.named : name => text if !startswith(name, "CREATE SCHEMA") && !startswith(name, "CREATE TABLE") }
}

resource "aws_redshiftdata_statement" "schemas" {
  for_each       = local.schemas
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  sql            = each.value

  depends_on = [aws_redshiftserverless_workgroup.this]
}

resource "aws_redshiftdata_statement" "tables" {
  for_each       = local.tables
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  sql            = each.value

  depends_on = [aws_redshiftdata_statement.schemas]
}

resource "aws_redshiftdata_statement" "views" {
  for_each       = local.others
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  sql            = each.value

  depends_on = [aws_redshiftdata_statement.tables]
}
