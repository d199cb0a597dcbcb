locals {
  silver_tables = toset(flatten([for source in var.sources : [for stream in source.streams : stream.table]]))
  tables = {
    silver     = local.silver_tables
    quarantine = local.silver_tables
    gold       = var.gold
  }
  # A crawler names a table after its folder: bronze streams of two sources may share a name.
  crawled = merge([
    for crawler in var.crawlers : crawler.zone == "bronze"
    ? { for name, source in var.sources : "bronze-${name}" => merge(crawler, { source = name, paths = [for stream, _ in source.streams : "${name}/${stream}"] }) }
    : { (crawler.zone) = merge(crawler, { source = null, paths = tolist(local.tables[crawler.zone]) }) }
  ]...)
  crawler_specs = {
    for key, crawler in local.crawled : "${local.prefix}-${key}" => {
      zone         = crawler.zone
      database     = local.databases[crawler.zone]
      table_prefix = crawler.source == null ? "" : "${crawler.source}_"
      tables       = [for path in crawler.paths : "s3://${local.buckets.lake}/${crawler.zone}/${path}"]
      schedule     = crawler.schedule
      update       = crawler.schema_change.update
      delete       = crawler.schema_change.delete
    }
  }
}
