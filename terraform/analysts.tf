# What the roles of analysts need, to be attached where they are made: by hand, or by its name in a permission set.
resource "aws_iam_policy" "analyst" {
  name        = local.deployment.analyst_policy.name
  description = "See config/roles/analyst.yaml."
  policy = replace(
    replace(local.deployment.analyst_policy.policy, "$${data_key}", local.keys.data),
    "$${workgroup_arn}", module.warehouse.workgroup_arn,
  )
}
