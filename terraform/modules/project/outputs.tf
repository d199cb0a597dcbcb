output "environment" {
  description = "The environment with everything that it leaves out filled in."
  value       = var.environment
}

output "prefix" {
  description = "What starts every name."
  value       = local.prefix
}

output "buckets" {
  description = "Names of the buckets by purpose."
  value       = local.buckets
}

output "databases" {
  description = "Names of the catalog databases by zone."
  value       = local.databases
}

output "tables" {
  description = "Names of the tables of silver, quarantine and gold."
  value       = local.tables
}

output "secrets" {
  description = "Names of the secrets, under the prefix."
  value = toset([
    for secret in concat([for source in var.sources : source.secret], [var.environment.alerts.slack_secret]) :
    "${local.prefix}/${secret}" if secret != null
  ])
}

output "jobs" {
  description = "One Extract job for each source, and one job for each shared stage, by name."
  value       = local.jobs
}

output "connections" {
  description = "Names of the Glue connections by source that is reached within the VPC."
  value       = local.connections
}

output "rds_proxies" {
  description = "The RDS proxies, each with its name and the name of its source's secret."
  value = {
    for key, proxy in local.proxies : key => merge(proxy, { secret = "${local.prefix}/${var.sources[proxy.source].secret}" })
  }
}

output "lambdas" {
  description = "The Lambda functions by name."
  value       = local.lambdas
}

output "crawlers" {
  description = "The crawlers by name."
  value       = local.crawler_specs
}

output "schedules" {
  description = "What the scheduler does, and when, by name."
  value       = merge(local.schedules, local.maintenance)
}

output "state_machine" {
  description = "Name, ARN and what the placeholders of step_functions/pipeline.asl.json stand for."
  value = {
    name = local.state_machine
    arn  = local.state_machine_arn
    values = {
      prefix    = local.prefix
      workgroup = var.environment.warehouse.workgroup
      database  = var.environment.warehouse.database
    }
  }
}

output "topic" {
  description = "Name and ARN of the topic that alerts go to."
  value       = { name = local.topic, arn = local.topic_arn }
}

output "roles" {
  description = "Every role by name: its file in config/roles, values and traits."
  value       = local.roles
}

output "record_streams" {
  description = "The Kinesis streams by source.stream."
  value       = local.record_streams
}

output "queues" {
  description = "The queues by name: one for each stream that is delivered by queue, and one that hears of dropped files."
  value       = local.queues
}

output "mappings" {
  description = "What the functions read by themselves, by ARN."
  value       = local.mappings
}

output "drop_pattern" {
  description = "Which events tell of a dropped file; none where no source takes any."
  value       = local.drop_pattern
}

output "api" {
  description = "The HTTP API for pushed events; none where no source takes them."
  value       = local.api
}

output "warehouse_users" {
  description = "Names of the roles that speak to the warehouse as loaders."
  value = toset(concat(
    [local.state_machine],
    [for name, function in local.lambdas : name if function.folder == "prepare_load"],
    [for name, job in local.jobs : name if try(var.sources[job.source].kind, "") == "redshift"],
  ))
}
