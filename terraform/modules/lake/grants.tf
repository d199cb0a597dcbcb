# Lake Formation's grants. Analysts read silver and gold, each table through a filter of columns and rows, which grant_tables gives them
# after a crawl has made it; crawlers keep their database. The jobs read and write S3 by their own roles, not through the catalog.
locals {
  read     = toset(["silver", "gold"])
  readable = { for pair in setproduct(local.read, var.analysts) : join(" ", pair) => { zone = pair[0], role = pair[1] } }
}

resource "aws_lakeformation_resource" "lake" {
  arn                     = aws_s3_bucket.this["lake"].arn
  use_service_linked_role = true
}

# What grant_tables may select itself, of tables that are there and of those to come, it may pass on.
resource "aws_lakeformation_permissions" "granter_tables" {
  for_each                      = local.read
  principal                     = var.granter
  permissions                   = ["DESCRIBE", "SELECT"]
  permissions_with_grant_option = ["DESCRIBE", "SELECT"]

  table {
    database_name = aws_glue_catalog_database.this[each.key].name
    wildcard      = true
  }
}

resource "aws_lakeformation_permissions" "analysts_databases" {
  for_each    = local.readable
  principal   = each.value.role
  permissions = ["DESCRIBE"]

  database {
    name = aws_glue_catalog_database.this[each.value.zone].name
  }
}

# The query API reads gold whole: what it is asked is declared.
resource "aws_lakeformation_permissions" "readers_database" {
  for_each    = var.gold_readers
  principal   = each.value
  permissions = ["DESCRIBE"]

  database {
    name = aws_glue_catalog_database.this["gold"].name
  }
}

resource "aws_lakeformation_permissions" "readers_tables" {
  for_each    = var.gold_readers
  principal   = each.value
  permissions = ["DESCRIBE", "SELECT"]

  table {
    database_name = aws_glue_catalog_database.this["gold"].name
    wildcard      = true
  }
}

resource "aws_lakeformation_permissions" "crawlers_databases" {
  for_each    = var.crawler_roles
  principal   = each.value
  permissions = ["ALTER", "CREATE_TABLE", "DESCRIBE"]

  database {
    name = aws_glue_catalog_database.this[each.key].name
  }
}

resource "aws_lakeformation_permissions" "crawlers_locations" {
  for_each    = var.crawler_roles
  principal   = each.value
  permissions = ["DATA_LOCATION_ACCESS"]

  data_location {
    arn = aws_lakeformation_resource.lake.arn
  }
}
