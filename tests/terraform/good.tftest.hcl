# Environments planned and applied with the provider mocked: what Terraform asks for, not what AWS makes of it.
mock_provider "aws" {
  mock_data "aws_vpc" {
    defaults = { cidr_block = "10.0.0.0/16" }
  }
  # The provider checks the form of what it is given, also where it is mocked.
  mock_resource "aws_apigatewayv2_api" {
    defaults = { execution_arn = "arn:aws:execute-api:eu-west-1:123456789012:mocked" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:mocked" }
  }
  mock_resource "aws_db_proxy_default_target_group" {
    defaults = { name = "default" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_kinesis_stream" {
    defaults = { arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/mocked" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/mocked" }
  }
  mock_resource "aws_redshiftserverless_namespace" {
    defaults = {
      arn                       = "arn:aws:redshift-serverless:eu-west-1:123456789012:namespace/mocked"
      admin_password_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mocked"
    }
  }
  mock_resource "aws_redshiftserverless_workgroup" {
    defaults = { arn = "arn:aws:redshift-serverless:eu-west-1:123456789012:workgroup/mocked" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mocked" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mocked" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:mocked" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:123456789012:mocked" }
  }
}

# Each key has an ARN of its own, so that a role that is given another's shows.
override_resource {
  target = module.lake.aws_kms_key.this["data"]
  values = { arn = "arn:aws:kms:eu-west-1:123456789012:key/data" }
}

override_resource {
  target = module.lake.aws_kms_key.this["secrets"]
  values = { arn = "arn:aws:kms:eu-west-1:123456789012:key/secrets" }
}

override_resource {
  target = module.lake.aws_kms_key.this["bookmarks"]
  values = { arn = "arn:aws:kms:eu-west-1:123456789012:key/bookmarks" }
}

override_resource {
  target = module.lake.aws_kms_key.this["alerts"]
  values = { arn = "arn:aws:kms:eu-west-1:123456789012:key/alerts" }
}

run "dev_is_applied" {
  command = apply

  variables {
    environment = "dev"
  }

  assert {
    condition     = output.state_machine_arn != "" && length(output.secrets) > 0
    error_message = "An environment has a state machine, and secrets that wait for their values."
  }

  assert {
    condition     = alltrue([for job in module.deployment.read.jobs : job.arguments["--datalake-formats"] == "delta"])
    error_message = "A job lacks Delta."
  }
}

run "prod_is_applied_with_all_that_it_asks_for" {
  command = apply

  variables {
    environment = "prod"
  }

  assert {
    condition     = length(module.deployment.read.schedules) >= 2
    error_message = "prod has schedules."
  }
}

run "existing_workgroup_is_used" {
  command = apply

  module {
    source = "./modules/warehouse"
  }

  variables {
    root            = "."
    prefix          = "p"
    region          = "eu-west-1"
    results         = "s3://p-logs/athena/"
    athena_scan_gib = 1
    databases       = { gold = "p_gold" }
    protected       = false
    keys            = { data = "arn:aws:kms:eu-west-1:123456789012:key/data", secrets = "arn:aws:kms:eu-west-1:123456789012:key/secrets" }
    copy_role       = { name = "p-copy", file = "copy", trust = "{}", permissions = "{\"Statement\": []}" }
    arns = {
      data_key      = "arn:aws:kms:eu-west-1:123456789012:key/data"
      secrets_key   = "arn:aws:kms:eu-west-1:123456789012:key/secrets"
      bookmarks_key = "arn:aws:kms:eu-west-1:123456789012:key/bookmarks"
      alerts_key    = "arn:aws:kms:eu-west-1:123456789012:key/alerts"
    }
    warehouse = {
      workgroup       = "theirs"
      database        = "d"
      base_capacity   = 8
      max_capacity    = 16
      rpu_hours_a_day = 1
      snapshot_days   = 1
      existing        = { admin_secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:theirs" }
    }
  }
}
