output "workgroup_arn" {
  description = "ARN of the workgroup."
  value       = local.arn
}

output "namespace" {
  description = "Name and ARN of the namespace; none where the workgroup was there already."
  value       = one([for space in aws_redshiftserverless_namespace.this : { name = space.namespace_name, arn = space.arn }])
}

output "admin_secret" {
  description = "ARN of the secret of the warehouse's administrator."
  value       = one(concat([for space in aws_redshiftserverless_namespace.this : space.admin_password_secret_arn], [for workgroup in local.found : workgroup.admin_secret]))
}

output "athena_workgroup" {
  description = "Name of Athena's workgroup."
  value       = aws_athena_workgroup.this.name
}
