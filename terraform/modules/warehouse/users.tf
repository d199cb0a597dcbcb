# Users are IAM roles: Redshift gives each a temporary password, and calls it IAMR:<role>. Nobody has a password of their own.
locals {
  roles = { loader = "writes what Load and Audit write", analyst = "reads analytics" }
  grants = {
    "loader schemas"   = "GRANT USAGE ON SCHEMA analytics, etl TO ROLE loader"
    "loader analytics" = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA analytics TO ROLE loader"
    "loader etl"       = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA etl TO ROLE loader"
    "loader temporary" = "GRANT TEMP ON DATABASE ${var.warehouse.database} TO ROLE loader"
    "analyst schema"   = "GRANT USAGE ON SCHEMA analytics TO ROLE analyst"
    "analyst tables"   = "GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO ROLE analyst"
  }
  users = merge(
    { for name in var.loaders : "IAMR:${name}" => "loader" },
    { for arn in var.analysts : "IAMR:${element(split("/", arn), length(split("/", arn)) - 1)}" => "analyst" },
  )
  # New tables need their grants: a grant runs again when the tables change.
  generation = substr(sha256(join("\n", local.statements)), 0, 12)
}

resource "aws_redshiftdata_statement" "roles" {
  for_each       = local.roles
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  statement_name = "role ${each.key}: ${each.value}"
  sql            = "CREATE ROLE ${each.key}"

  depends_on = [aws_redshiftserverless_workgroup.this]
}

resource "aws_redshiftdata_statement" "grants" {
  for_each       = local.grants
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  statement_name = each.key
  sql            = "${each.value} /* ${local.generation} */"

  depends_on = [aws_redshiftdata_statement.roles, aws_redshiftdata_statement.views]
}

resource "aws_redshiftdata_statement" "users" {
  for_each       = local.users
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  sql            = "CREATE USER \"${each.key}\" PASSWORD DISABLE"

  depends_on = [aws_redshiftdata_statement.roles]
}

resource "aws_redshiftdata_statement" "memberships" {
  for_each       = local.users
  workgroup_name = var.warehouse.workgroup
  database       = var.warehouse.database
  sql            = "GRANT ROLE ${each.value} TO \"${each.key}\""

  depends_on = [aws_redshiftdata_statement.users]
}
