# Crawlers of native Delta tables. A run starts those whose tables have changed; a schedule is for environments without runs.
resource "aws_glue_crawler" "this" {
  for_each               = var.crawlers
  name                   = each.key
  description            = "Keeps the catalog of the ${each.value.zone} zone true."
  role                   = var.role_arns[each.value.zone]
  database_name          = each.value.database
  table_prefix           = each.value.table_prefix
  schedule               = each.value.schedule
  security_configuration = var.security_configuration

  delta_target {
    delta_tables              = each.value.tables
    create_native_delta_table = true
    write_manifest            = false
  }

  schema_change_policy {
    update_behavior = each.value.update
    delete_behavior = each.value.delete
  }

  recrawl_policy {
    recrawl_behavior = "CRAWL_EVERYTHING"
  }

  lake_formation_configuration {
    use_lake_formation_credentials = false
  }

  lifecycle {
    # A run points each crawler at those of its tables that exist by then.
    ignore_changes = [delta_target]
  }
}

output "names" {
  description = "Names of the crawlers."
  value       = [for crawler in aws_glue_crawler.this : crawler.name]
}
