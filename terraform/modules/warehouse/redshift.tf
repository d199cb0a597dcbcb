locals {
  # At most one of each: what is made here, unless it is there already.
  made     = var.warehouse.existing == null ? { (var.warehouse.workgroup) = var.warehouse } : {}
  found    = var.warehouse.existing == null ? {} : { (var.warehouse.workgroup) = var.warehouse.existing }
  networks = { for network in var.network[*] : network.vpc => network if var.warehouse.existing == null }
  arn      = one(concat([for group in aws_redshiftserverless_workgroup.this : group.arn], [for group in data.aws_redshiftserverless_workgroup.existing : group.arn]))
}

data "aws_redshiftserverless_workgroup" "existing" {
  for_each       = local.found
  workgroup_name = each.key
}

resource "aws_redshiftserverless_namespace" "this" {
  for_each                         = local.made
  namespace_name                   = each.key
  db_name                          = each.value.database
  kms_key_id                       = var.keys.data
  manage_admin_password            = true
  admin_password_secret_kms_key_id = var.keys.secrets
  iam_roles                        = [module.copy_role.arn]
  default_iam_role_arn             = module.copy_role.arn
  log_exports                      = ["connectionlog", "useractivitylog", "userlog"]
}

resource "aws_redshiftserverless_workgroup" "this" {
  for_each             = aws_redshiftserverless_namespace.this
  workgroup_name       = each.key
  namespace_name       = each.value.namespace_name
  base_capacity        = var.warehouse.base_capacity
  max_capacity         = var.warehouse.max_capacity
  publicly_accessible  = false
  enhanced_vpc_routing = var.network != null
  subnet_ids           = var.network == null ? null : var.network.subnets
  security_group_ids   = var.network == null ? null : [for group in aws_security_group.warehouse : group.id]

  # The parameters are left to Redshift, which completes what is given here by all that it knows, so that no two plans are alike.
  # The two that matter, require_ssl and enable_user_activity_logging, it sets by itself.
  lifecycle {
    ignore_changes = [config_parameter]
  }
}

# The Data API needs no way in; people with a SQL client come from within the VPC.
resource "aws_security_group" "warehouse" {
  for_each    = local.networks
  name        = "${var.prefix}-warehouse"
  description = "The Redshift workgroup."
  vpc_id      = each.key
}

data "aws_vpc" "warehouse" {
  for_each = local.networks
  id       = each.key
}

resource "aws_vpc_security_group_ingress_rule" "sql" {
  for_each          = aws_security_group.warehouse
  security_group_id = each.value.id
  description       = "SQL clients within the VPC."
  cidr_ipv4         = data.aws_vpc.warehouse[each.key].cidr_block
  ip_protocol       = "tcp"
  from_port         = 5439
  to_port           = 5439
}

resource "aws_vpc_security_group_egress_rule" "copy" {
  for_each          = aws_security_group.warehouse
  security_group_id = each.value.id
  description       = "COPY and UNLOAD, through the S3 endpoint."
  prefix_list_id    = data.aws_prefix_list.s3[each.key].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

data "aws_prefix_list" "s3" {
  for_each = local.networks
  name     = "com.amazonaws.${var.region}.s3"
}

# Told at once, refused until the next day at twice that.
resource "aws_redshiftserverless_usage_limit" "this" {
  for_each = {
    for pair in setproduct(keys(local.made), ["log", "deactivate"]) : join(" ", pair) => { workgroup = pair[0], action = pair[1] }
  }
  resource_arn  = aws_redshiftserverless_workgroup.this[each.value.workgroup].arn
  usage_type    = "serverless-compute"
  period        = "daily"
  amount        = var.warehouse.rpu_hours_a_day * (each.value.action == "deactivate" ? 2 : 1)
  breach_action = each.value.action
}

module "copy_role" {
  source = "../role"
  role   = var.copy_role
  arns   = var.arns
}
