resource "aws_sns_topic" "alerts" {
  name              = var.topic
  display_name      = "Headwater ${var.environment}"
  kms_master_key_id = var.keys.alerts
}

resource "aws_sns_topic_policy" "alerts" {
  arn = aws_sns_topic.alerts.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OwnServices"
        Effect    = "Allow"
        Principal = { Service = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alerts.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
      },
      {
        # EventBridge knows no condition for topics.
        Sid       = "OwnRules"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alerts.arn
      },
      {
        Sid       = "OnlyEncryptedConnections"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alerts.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }
    ]
  })
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
