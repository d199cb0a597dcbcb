# The very file that the local stack interprets.
resource "aws_sfn_state_machine" "pipeline" {
  name       = var.state_machine.name
  role_arn   = module.role[var.state_machine.name].arn
  definition = var.state_machine.definition
  type       = "STANDARD"
  publish    = true

  logging_configuration {
    # What failed, and why. Each step of a run is in its history for 90 days; a log of them all would only be paid for.
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.pipeline.arn}:*"
  }

  tracing_configuration {
    enabled = true
  }
}

resource "aws_cloudwatch_log_group" "pipeline" {
  # Step Functions needs this beginning, or the resource policy that it keeps grows beyond its limit.
  name              = "/aws/vendedlogs/states/${var.state_machine.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.keys.logs
}

module "role" {
  source   = "../role"
  for_each = { for role in [var.state_machine.role, var.scheduler_role] : role.name => role }
  role     = each.value
  arns     = var.arns
}
