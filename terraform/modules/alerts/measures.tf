# Metrics from the jobs' own log lines: one JSON object a line, with event, source and counts.
locals {
  namespace = "Headwater/${var.environment}"
  silver_counts = {
    extracted   = "$.extracted"
    quarantined = "$.quarantined"
  }
  extract_events = {
    started  = "started"
    appended = "appended to bronze"
  }
  extract_measures = {
    for pair in setproduct(keys(var.extract_logs), keys(local.extract_events)) :
    join(" ", pair) => { source = pair[0], measure = pair[1], event = local.extract_events[pair[1]] }
  }
}

resource "aws_cloudwatch_log_metric_filter" "silver" {
  for_each       = local.silver_counts
  name           = "${var.prefix}-${each.key}"
  log_group_name = var.silver_logs
  pattern        = "{ $.event = \"closed\" }"

  metric_transformation {
    namespace  = local.namespace
    name       = each.key
    value      = each.value
    dimensions = { source = "$.source" }
  }
}

# One metric of all sources: few have such tokens, and the log line names the one whose it is.
resource "aws_cloudwatch_log_metric_filter" "token" {
  for_each       = var.extract_logs
  name           = "${var.prefix}-${each.key}-token"
  log_group_name = each.value
  pattern        = "{ $.event = \"token runs out\" }"

  metric_transformation {
    namespace = local.namespace
    name      = "token"
    value     = "1"
  }
}

resource "aws_cloudwatch_log_metric_filter" "extract" {
  for_each       = local.extract_measures
  name           = "${var.prefix}-${each.value.source}-${each.value.measure}"
  log_group_name = var.extract_logs[each.value.source]
  pattern        = "{ $.event = \"${each.value.event}\" }"

  metric_transformation {
    namespace  = local.namespace
    name       = each.value.measure
    value      = "1"
    dimensions = { source = "$.source" }
  }
}
