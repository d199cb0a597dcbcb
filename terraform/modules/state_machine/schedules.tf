resource "aws_scheduler_schedule_group" "this" {
  name = var.prefix
}

resource "aws_scheduler_schedule" "this" {
  for_each                     = var.schedules
  name                         = each.key
  group_name                   = aws_scheduler_schedule_group.this.name
  description                  = "See schedules and maintenance in config/environments."
  schedule_expression          = each.value.expression
  schedule_expression_timezone = each.value.time_zone
  kms_key_arn                  = var.keys.data
  state                        = each.value.enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = each.value.action
    role_arn = module.role[var.scheduler_role.name].arn
    input    = each.value.input

    dead_letter_config {
      arn = var.dead_letters
    }

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 5
    }
  }

  depends_on = [aws_sfn_state_machine.pipeline]
}
