# One IAM role with one inline policy, so that no two roles can share a policy by accident.
locals {
  # A resource that is a placeholder stands for an ARN that only AWS knows.
  arns = { for name, arn in var.arns : "$${${name}}" => arn }
  permissions = jsonencode(merge(jsondecode(var.role.permissions), {
    Statement = [
      for statement in jsondecode(var.role.permissions).Statement :
      merge(statement, { Resource = [for resource in statement.Resource : lookup(local.arns, resource, resource)] })
    ]
  }))
}

resource "aws_iam_role" "this" {
  name                 = var.role.name
  description          = "See config/roles/${var.role.file}.yaml."
  assume_role_policy   = var.role.trust
  permissions_boundary = var.role.boundary
}

resource "aws_iam_role_policy" "this" {
  name   = var.role.file
  role   = aws_iam_role.this.id
  policy = local.permissions
}
