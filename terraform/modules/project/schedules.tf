locals {
  # The execution id of a schedule stays the same when the scheduler tries again, and the state machine refuses a name twice.
  schedules = {
    for name, schedule in var.environment.schedules : "${local.prefix}-${name}" => {
      expression = "cron(${schedule.cron})"
      time_zone  = schedule.time_zone
      action     = "arn:aws:scheduler:::aws-sdk:sfn:startExecution"
      input = {
        StateMachineArn = local.state_machine_arn
        Name            = "${name}-<aws.scheduler.execution-id>"
        Input           = jsonencode(length(schedule.sources) > 0 ? { sources = schedule.sources } : {})
      }
    }
  }
  maintenance = {
    for schedule in var.environment.maintenance[*] : "${local.prefix}-maintain" => {
      expression = "cron(${schedule.cron})"
      time_zone  = schedule.time_zone
      action     = "arn:aws:scheduler:::aws-sdk:glue:startJobRun"
      input = {
        JobName = "${local.prefix}-maintain"
        Arguments = {
          "--source" = "-"
          "--run_id" = "maintain-<aws.scheduler.execution-id>"
          "--as_of"  = "<aws.scheduler.scheduled-time>"
        }
      }
    }
  }
}
