output "endpoints" {
  description = "Hosts of the proxies by key: what the secrets of their sources name."
  value       = { for key, proxy in aws_db_proxy.this : key => proxy.endpoint }
}
