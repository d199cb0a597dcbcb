output "environment" {
  description = "config/environments/<environment>.yaml."
  value       = yamldecode(file(local.environment_file))
}

output "sources" {
  description = "config/sources/*.yaml by source."
  value       = local.sources
}

output "crawlers" {
  description = "crawlers/*.yaml by zone."
  value       = local.crawlers
}

output "gold" {
  description = "Gold tables: the names of sql/gold/*.sql."
  value       = toset([for path in fileset("${var.root}/sql/gold", "*.sql") : trimsuffix(path, ".sql")])
}

output "scripts" {
  description = "Stages: the names of glue_jobs/*.py."
  value       = toset([for path in fileset("${var.root}/glue_jobs", "*.py") : trimsuffix(path, ".py")])
}

output "handlers" {
  description = "Lambdas: the folders of lambdas/ that hold a handler."
  value       = toset([for path in fileset("${var.root}/lambdas", "*/handler.py") : dirname(path)])
}

output "digest" {
  description = "SHA-256 over everything that make package packs."
  value       = sha256(join("\n", [for path in local.declared : "${path} ${filesha256("${var.root}/${path}")}"]))
}
