locals {
  # What is reached within a VPC, where the environment has one.
  inner_kinds = ["jdbc", "kafka"]
  inner       = { for name, source in var.sources : name => source if var.environment.network != null && contains(local.inner_kinds, source.kind) }
  proxies = {
    for name, proxy in try(var.environment.network.rds_proxies, {}) : name => merge(proxy, { name = "${local.prefix}-${replace(name, "_", "-")}-proxy" })
  }
  connections = { for name, source in local.inner : name => "${local.prefix}-${name}" }
}
