locals {
  kinds = toset([for source in var.sources : source.kind])
  # Lambdas that something other than the state machine calls, and whether this environment has that something.
  called_elsewhere = {
    receive_event   = length(local.pushed) > 0
    receive_records = length(local.received) > 0
    start_on_drop   = length(local.dropped) > 0
    notify_slack    = var.environment.alerts.slack_secret != null
  }
  folders = toset([for folder in var.handlers : folder if lookup(local.called_elsewhere, folder, true)])
  common_variables = {
    PROJECT_URI = local.project_uri
    ENVIRONMENT = var.environment.name
    TOPIC_ARN   = local.topic_arn
  }
  own_variables = {
    notify_slack  = { SLACK_SECRET = "${local.prefix}/${coalesce(var.environment.alerts.slack_secret, "-")}" }
    start_on_drop = { STATE_MACHINE_ARN = local.state_machine_arn }
  }
  lambdas = {
    for folder in local.folders : "${local.prefix}-${folder}" => {
      folder           = folder
      timeout_seconds  = 120
      variables        = merge(local.common_variables, lookup(local.own_variables, folder, {}))
      by_state_machine = !contains(keys(local.called_elsewhere), folder)
    }
  }
}
