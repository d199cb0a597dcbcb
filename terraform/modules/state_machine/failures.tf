# The state machine tells of its own failures, with their cause. What stops it from outside, it cannot tell: these events do.
resource "aws_cloudwatch_event_rule" "ended_badly" {
  name        = "${var.prefix}-ended-badly"
  description = "Executions that failed, timed out or were aborted."
  event_pattern = jsonencode({
    source        = ["aws.states"]
    "detail-type" = ["Step Functions Execution Status Change"]
    detail = {
      stateMachineArn = [aws_sfn_state_machine.pipeline.arn]
      status          = ["FAILED", "TIMED_OUT", "ABORTED"]
    }
  })
}

resource "aws_cloudwatch_event_target" "ended_badly" {
  rule = aws_cloudwatch_event_rule.ended_badly.name
  arn  = var.topic_arn

  input_transformer {
    input_paths = {
      run    = "$.detail.name"
      status = "$.detail.status"
    }
    input_template = "\"${var.prefix}: run <run> ended as <status>. The alert of the run, if there is one, tells the cause; otherwise its execution does.\""
  }

  dead_letter_config {
    arn = var.dead_letters
  }
}
