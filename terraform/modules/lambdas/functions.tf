resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_117: none reaches anything within a VPC; AWS APIs and Slack are outside
  #checkov:skip=CKV_AWS_272: packages are reproducible, and the plan shows their hashes; a signer would only repeat that
  for_each                       = var.lambdas
  function_name                  = each.key
  description                    = "See lambdas/${each.value.folder}/handler.py."
  role                           = module.role[each.key].arn
  runtime                        = "python3.11"
  architectures                  = ["x86_64"]
  handler                        = "handler.handler"
  filename                       = local.packages[each.key]
  source_code_hash               = filebase64sha256(local.packages[each.key])
  memory_size                    = 512
  timeout                        = each.value.timeout_seconds
  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)
  kms_key_arn                    = var.keys.data
  publish                        = true

  environment {
    variables = each.value.variables
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead_letters.arn
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_cloudwatch_log_group.this]
}

# Event sources call this alias; the state machine calls by name, which is the same version once a deployment is through.
resource "aws_lambda_alias" "live" {
  for_each         = aws_lambda_function.this
  name             = "live"
  description      = "The version in use."
  function_name    = each.value.function_name
  function_version = each.value.version
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = var.lambdas
  name              = "/aws/lambda/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.keys.logs
}

locals {
  packages = { for name, function in var.lambdas : name => "${var.packages}/lambdas/${function.folder}.zip" }
}

module "role" {
  source   = "../role"
  for_each = var.lambdas
  role     = each.value.role
  arns     = var.arns
}
