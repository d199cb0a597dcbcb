output "buckets" {
  description = "Names of the buckets by purpose."
  value       = { for purpose, name in var.buckets : purpose => aws_s3_bucket.this[purpose].id }
}

output "keys" {
  description = "ARNs of the keys by what they protect: data, secrets, bookmarks, logs, alerts."
  value       = { for purpose, key in aws_kms_key.this : purpose => key.arn }
}

output "databases" {
  description = "Names of the catalog databases by zone."
  value       = { for zone, database in aws_glue_catalog_database.this : zone => database.name }
}

output "security_configuration" {
  description = "Name of the Glue security configuration."
  value       = aws_glue_security_configuration.this.name
}
