# Athena's workgroup has the name that the command line uses: the prefix.
resource "aws_athena_workgroup" "this" {
  name          = var.prefix
  description   = "Queries of bronze, silver and gold."
  force_destroy = !var.protected

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.athena_scan_gib * 1024 * 1024 * 1024

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = var.results

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.keys.data
      }
    }
  }
}

locals {
  queries = { for path in fileset("${var.root}/sql/athena", "*.sql") : trimsuffix(path, ".sql") => file("${var.root}/sql/athena/${path}") }
}

# One file, one query; its first line says what it answers.
resource "aws_athena_named_query" "this" {
  for_each    = local.queries
  name        = each.key
  description = trimprefix(split("\n", each.value)[0], "-- ")
  workgroup   = aws_athena_workgroup.this.name
  database    = var.databases.gold
  query       = each.value
}
