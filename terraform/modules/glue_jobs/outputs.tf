output "names" {
  description = "Names of the jobs."
  value       = [for job in aws_glue_job.this : job.name]
}

output "extract_logs" {
  description = "Log groups of the Extract jobs' output by source."
  value = {
    for name, job in var.jobs : job.source => aws_cloudwatch_log_group.this["${name}/output"].name if job.source != null
  }
}

output "silver_logs" {
  description = "Log group of the Silver job's output."
  value       = one([for name, job in var.jobs : aws_cloudwatch_log_group.this["${name}/output"].name if job.script == "silver"])
}

output "secrets" {
  description = "ARNs of the secrets by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "security_groups" {
  description = "Security groups of the jobs by VPC."
  value       = { for vpc, group in aws_security_group.jobs : vpc => group.id }
}
