# One Extract job for each source, and one job for each stage that all sources share.
resource "aws_glue_job" "this" {
  for_each               = var.jobs
  name                   = each.key
  description            = each.value.source == null ? "The ${each.value.script} stage, for all sources." : "Extracts ${each.value.source}."
  role_arn               = module.role[each.key].arn
  glue_version           = var.glue_version
  worker_type            = each.value.worker_type
  number_of_workers      = each.value.workers
  execution_class        = each.value.flex ? "FLEX" : "STANDARD"
  timeout                = each.value.timeout_minutes
  security_configuration = var.security_configuration
  connections            = compact([each.value.connection])
  default_arguments      = each.value.arguments

  # The state machine tries again, where everybody sees it. Its retries also wait for a free place, so runs are not queued
  # by Glue, where nobody would see them.
  max_retries = 0

  command {
    name            = "glueetl"
    python_version  = "3"
    script_location = "s3://${var.artifacts}/${each.value.script_key}"
  }

  execution_property {
    max_concurrent_runs = each.value.max_concurrent_runs
  }

  depends_on = [aws_s3_object.program, aws_cloudwatch_log_group.this, aws_glue_connection.this]
}

module "role" {
  source   = "../role"
  for_each = var.jobs
  role     = each.value.role
  arns     = var.arns
}

# Made here, so that they are encrypted and expire; Glue itself would keep them without end. Glue names them by the security
# configuration and the role.
resource "aws_cloudwatch_log_group" "this" {
  for_each          = { for pair in setproduct(keys(var.jobs), ["error", "output"]) : join("/", pair) => pair }
  name              = "${var.jobs[each.value[0]].log_group}/${each.value[1]}"
  retention_in_days = var.log_days
  kms_key_id        = var.keys.logs
}
