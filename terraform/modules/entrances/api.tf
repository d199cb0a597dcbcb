# HTTP APIs, for pushed events and for queries. Whoever calls is no AWS identity; the function behind checks the key that each has.
resource "aws_apigatewayv2_api" "this" {
  for_each      = var.apis
  name          = each.key
  description   = var.apis[each.key].description
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "this" {
  for_each               = aws_apigatewayv2_api.this
  api_id                 = each.value.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.functions[var.apis[each.key].function].alias
  payload_format_version = "2.0"
  timeout_milliseconds   = var.apis[each.key].timeout_seconds * 1000
}

resource "aws_apigatewayv2_route" "this" {
  for_each = aws_apigatewayv2_api.this
  #checkov:skip=CKV_AWS_309: callers are partners without an AWS identity; the function refuses who has no key
  api_id             = each.value.id
  route_key          = var.apis[each.key].route
  authorization_type = "NONE"
  target             = "integrations/${aws_apigatewayv2_integration.this[each.key].id}"
}

resource "aws_apigatewayv2_stage" "this" {
  for_each    = aws_apigatewayv2_api.this
  api_id      = each.value.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.apis[each.key].calls_per_second
    throttling_burst_limit   = var.apis[each.key].burst
    detailed_metrics_enabled = true
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api[each.key].arn
    format = jsonencode({
      requestId = "$context.requestId"
      route     = "$context.routeKey"
      status    = "$context.status"
      latency   = "$context.responseLatency"
      error     = "$context.error.message"
    })
  }
}

resource "aws_cloudwatch_log_group" "api" {
  for_each          = var.apis
  name              = "/aws/vendedlogs/apigateway/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.keys.logs
}

resource "aws_lambda_permission" "api" {
  for_each      = aws_apigatewayv2_api.this
  statement_id  = "Api"
  action        = "lambda:InvokeFunction"
  function_name = var.functions[var.apis[each.key].function].name
  qualifier     = "live"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${each.value.execution_arn}/*/${var.apis[each.key].calls}"
}
