locals {
  # What is reached within a VPC, where the environment has one.
  inner_kinds = ["jdbc", "kafka"]
  inner       = { for name, source in var.sources : name => source if var.environment.network != null && contains(local.inner_kinds, source.kind) }
  connections = { for name, source in local.inner : name => "${local.prefix}-${name}" }
}
