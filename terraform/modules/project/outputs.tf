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

output "drops" {
  description = "Prefixes of the landing bucket by files source."
  value       = local.drops
}

output "kinds" {
  description = "The kinds of sources that are declared."
  value       = local.kinds
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
