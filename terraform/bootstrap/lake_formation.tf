# Who may grant what in Lake Formation. The account has one list of administrators: those that others have entered stay in it.
data "aws_lakeformation_data_lake_settings" "present" {}

locals {
  present  = data.aws_lakeformation_data_lake_settings.present
  defaults = concat(local.present.create_database_default_permissions, local.present.create_table_default_permissions)
  # A role of an environment that is gone must not stay in the list, which Lake Formation would refuse.
  ours     = "^arn:aws:iam::${var.account}:role/headwater-[a-z0-9_]+-(plan|apply)$"
  deployed = { for kind in ["plan", "apply"] : kind => [for name, role in aws_iam_role.deployer : role.arn if endswith(name, "-${kind}")] }
}

# Tables that are made from now on belong to nobody else by default. A plan has to see the grants that it compares.
resource "aws_lakeformation_data_lake_settings" "this" {
  admins = setunion(
    [for arn in local.present.admins : arn if !can(regex(local.ours, arn))],
    [data.aws_iam_session_context.here.issuer_arn],
    local.deployed.apply,
  )
  read_only_admins = setunion([for arn in local.present.read_only_admins : arn if !can(regex(local.ours, arn))], local.deployed.plan)

  allow_external_data_filtering         = local.present.allow_external_data_filtering
  allow_full_table_external_data_access = local.present.allow_full_table_external_data_access
  authorized_session_tag_value_list     = local.present.authorized_session_tag_value_list
  external_data_filtering_allow_list    = local.present.external_data_filtering_allow_list
  parameters                            = local.present.parameters
  trusted_resource_owners               = local.present.trusted_resource_owners

  lifecycle {
    # Without it nobody at all would be an administrator.
    prevent_destroy = true

    precondition {
      condition     = var.empty_lake_formation_defaults || length(flatten([for default in local.defaults : tolist(default.permissions)])) == 0
      error_message = "Lake Formation still grants each new database and table of this account and region to everyone whom IAM lets in (IAM_ALLOWED_PRINCIPALS), as every account does at first. Headwater needs that to end, for what others make here from now on as well; what is there keeps its grants. Agree on it with them, then add -var empty_lake_formation_defaults=true."
    }
  }
}
