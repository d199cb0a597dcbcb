resource "aws_sns_topic" "alerts" {
  name              = var.topic.name
  display_name      = "Headwater ${var.environment}"
  kms_master_key_id = var.keys.alerts
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = var.topic.policy
}

resource "aws_sns_topic_subscription" "emails" {
  for_each  = toset(var.alerts.emails)
  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  slacks = { for function in var.slack[*] : "slack" => function }
}

resource "aws_sns_topic_subscription" "slack" {
  for_each  = local.slacks
  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "lambda"
  endpoint  = each.value.alias
}

resource "aws_lambda_permission" "slack" {
  for_each      = local.slacks
  statement_id  = "Alerts"
  action        = "lambda:InvokeFunction"
  function_name = each.value.name
  qualifier     = "live"
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.alerts.arn
}
