output "state_machine_arn" {
  description = "The pipeline: start an execution of it."
  value       = module.state_machine.arn
}

output "secrets" {
  description = "Secrets that wait for their values, by name."
  value       = module.glue_jobs.secrets
}

output "buckets" {
  description = "Names of the buckets by purpose."
  value       = module.lake.buckets
}

output "athena_workgroup" {
  description = "The workgroup for queries of the lake."
  value       = module.warehouse.athena_workgroup
}

output "events_url" {
  description = "Where events are pushed to; none where no source takes them."
  value       = one([for name, url in module.entrances.api_urls : "${url}/events" if name == "${local.prefix}-events"])
}

output "queries_url" {
  description = "Where queries of gold are asked; none where there is no query API."
  value       = one([for name, url in module.entrances.api_urls : "${url}/queries" if name == "${local.prefix}-queries"])
}

output "rds_proxy_endpoints" {
  description = "Hosts of the RDS proxies: what the secrets of their sources name."
  value       = module.rds_proxy.endpoints
}

output "topic_arn" {
  description = "The topic that alerts go to."
  value       = module.alerts.topic_arn
}

output "analyst_policy" {
  description = "ARN of the policy to attach to the roles of analysts."
  value       = aws_iam_policy.analyst.arn
}
