# A run alerts of its own failures, and its cause is JSON then. These events cover what a run cannot report: what stops it from
# outside, what nothing in it can catch, an alert that could not be sent, and Maintain, which is no part of a run.
locals {
  bad_ends = {
    "ended-badly" = {
      description = "Executions that ended badly without an alert of their own."
      pattern = {
        source        = ["aws.states"]
        "detail-type" = ["Step Functions Execution Status Change"]
        detail = {
          stateMachineArn = [aws_sfn_state_machine.pipeline.arn]
          "$or" = [
            { status = ["TIMED_OUT", "ABORTED"] },
            { status = ["FAILED"], cause = [null, { exists = false }, { "anything-but" = { prefix = "{" } }] },
          ]
        }
      }
      paths = { run = "$.detail.name", status = "$.detail.status" }
      text  = "run <run> ended as <status>, and has sent no alert. Its execution tells the cause."
    }
    "maintain-failed" = {
      description = "Runs of Maintain that failed or timed out."
      pattern = {
        source        = ["aws.glue"]
        "detail-type" = ["Glue Job State Change"]
        detail = {
          jobName = ["${var.prefix}-maintain"]
          state   = ["FAILED", "ERROR", "TIMEOUT"]
        }
      }
      paths = { run = "$.detail.jobRunId", status = "$.detail.state" }
      text  = "Maintain <run> ended as <status>. Its log tells which tables are left; it is safe to start again."
    }
  }
}

resource "aws_cloudwatch_event_rule" "bad_end" {
  for_each      = local.bad_ends
  name          = "${var.prefix}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
}

resource "aws_cloudwatch_event_target" "bad_end" {
  for_each = aws_cloudwatch_event_rule.bad_end
  rule     = each.value.name
  arn      = var.topic_arn

  input_transformer {
    input_paths    = local.bad_ends[each.key].paths
    input_template = "\"${var.prefix}: ${local.bad_ends[each.key].text}\""
  }

  dead_letter_config {
    arn = var.dead_letters
  }
}
