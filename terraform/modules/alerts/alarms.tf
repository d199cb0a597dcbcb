# Alarms on what no run can report itself. How a run ends, its alert tells, or a rule of the module state_machine.
locals {
  states = { StateMachineArn = var.state_machine_arn }
  hour   = 3600
  day    = 86400
}

resource "aws_cloudwatch_metric_alarm" "fresh" {
  alarm_name          = "${var.prefix}-stale"
  alarm_description   = "No run has succeeded for ${var.alerts.fresh_hours} hours."
  namespace           = "AWS/States"
  metric_name         = "ExecutionsSucceeded"
  dimensions          = local.states
  statistic           = "Sum"
  period              = local.hour
  evaluation_periods  = var.alerts.fresh_hours
  datapoints_to_alarm = var.alerts.fresh_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "slow" {
  alarm_name          = "${var.prefix}-slow"
  alarm_description   = "A run took far longer than runs usually take."
  evaluation_periods  = 1
  comparison_operator = "GreaterThanUpperThreshold"
  threshold_metric_id = "usual"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]

  metric_query {
    id          = "duration"
    return_data = true

    metric {
      namespace   = "AWS/States"
      metric_name = "ExecutionTime"
      dimensions  = local.states
      stat        = "Maximum"
      period      = local.hour
    }
  }

  metric_query {
    id          = "usual"
    label       = "usual duration"
    expression  = "ANOMALY_DETECTION_BAND(duration, 3)"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "token" {
  alarm_name          = "${var.prefix}-token"
  alarm_description   = "A source's token runs out soon and could not be exchanged: the log of its Extract says why. See docs/runbook.md."
  namespace           = local.namespace
  metric_name         = "token"
  statistic           = "Sum"
  period              = local.day
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "quarantine" {
  for_each            = var.extract_logs
  alarm_name          = "${var.prefix}-${each.key}-quarantine"
  alarm_description   = "More than ${var.alerts.quarantine_percent} % of a day's rows of ${each.key} were refused: headwater quarantine list."
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alerts.quarantine_percent
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]

  metric_query {
    id          = "percent"
    label       = "rows refused, %"
    expression  = "IF(extracted > 0, 100 * quarantined / extracted, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["extracted", "quarantined"])

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = metric_query.key
        dimensions  = { source = each.key }
        stat        = "Sum"
        period      = local.day
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "bookmark" {
  for_each            = var.extract_logs
  alarm_name          = "${var.prefix}-${each.key}-stuck"
  alarm_description   = "Extract of ${each.key} ran for three days and brought nothing: its source, its position or its bookmark is stuck."
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]

  metric_query {
    id          = "idle"
    label       = "ran and brought nothing"
    expression  = "IF(FILL(started, 0) > 0 AND FILL(appended, 0) == 0, 1, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["started", "appended"])

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = metric_query.key
        dimensions  = { source = each.key }
        stat        = "Sum"
        period      = local.day
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.prefix}-dead-letters"
  alarm_description   = "Something could not be dealt with and waits in the queue ${var.dead_letters}."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.dead_letters }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}
