# Lake Formation's grants. Analysts read silver and gold, each table through a filter of columns and rows; crawlers
# keep their database. The jobs read and write S3 by their own roles, not through the catalog.
locals {
  granted = var.tables_exist && length(var.analysts.roles) > 0 ? merge([
    for zone, tables in var.tables : { for table in tables : "${zone}.${table}" => { zone = zone, table = table } }
  ]...) : {}
  grants = merge([
    for key, table in local.granted : { for role in var.analysts.roles : "${key} ${role}" => merge(table, { key = key, role = role }) }
  ]...)
  readable = { for pair in setproduct(["silver", "gold"], var.analysts.roles) : join(" ", pair) => { zone = pair[0], role = pair[1] } }
}

resource "aws_lakeformation_resource" "lake" {
  arn                     = aws_s3_bucket.this["lake"].arn
  use_service_linked_role = true
}

resource "aws_lakeformation_data_cells_filter" "analysts" {
  for_each = local.granted

  table_data {
    name             = "analysts"
    database_name    = aws_glue_catalog_database.this[each.value.zone].name
    table_catalog_id = var.account
    table_name       = each.value.table

    column_wildcard {
      excluded_column_names = lookup(var.analysts.hidden_columns, each.value.table, [])
    }

    row_filter {
      filter_expression = lookup(var.analysts.row_filters, each.value.table, null)

      dynamic "all_rows_wildcard" {
        for_each = contains(keys(var.analysts.row_filters), each.value.table) ? [] : [true]
        content {}
      }
    }
  }
}

resource "aws_lakeformation_permissions" "analysts_rows" {
  for_each    = local.grants
  principal   = each.value.role
  permissions = ["SELECT"]

  data_cells_filter {
    database_name    = aws_glue_catalog_database.this[each.value.zone].name
    name             = "analysts"
    table_catalog_id = var.account
    table_name       = each.value.table
  }

  depends_on = [aws_lakeformation_data_cells_filter.analysts]
}

resource "aws_lakeformation_permissions" "analysts_databases" {
  for_each    = local.readable
  principal   = each.value.role
  permissions = ["DESCRIBE"]

  database {
    name = aws_glue_catalog_database.this[each.value.zone].name
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
