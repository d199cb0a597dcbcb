# One IAM role with one inline policy, so that no two roles can share a policy by accident.
module "policy" {
  source = "../role_policy"
  folder = var.folder
  role   = var.spec.file
  values = merge(var.spec.values, var.arns)
  traits = var.spec.traits
}

resource "aws_iam_role" "this" {
  name               = var.name
  description        = "See config/roles/${var.spec.file}.yaml."
  assume_role_policy = module.policy.trust
}

resource "aws_iam_role_policy" "this" {
  name   = var.spec.file
  role   = aws_iam_role.this.id
  policy = module.policy.permissions
}

output "arn" {
  description = "ARN of the role, once it has its permissions."
  value       = aws_iam_role.this.arn
  depends_on  = [aws_iam_role_policy.this]
}

output "name" {
  description = "Name of the role."
  value       = aws_iam_role.this.name
}
