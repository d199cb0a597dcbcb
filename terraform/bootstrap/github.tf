# GitHub's workflows get credentials for an hour by proving who they are; there are no keys to lose.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
  # AWS checks GitHub's certificate itself; the field only has to be there.
  thumbprint_list = ["ffffffffffffffffffffffffffffffffffffffff"]
}

locals {
  # A plan may look and may not change; an apply runs only in the GitHub environment that a person has approved.
  deployers = merge([
    for environment in var.environments : {
      "headwater-${environment}-plan"  = { subject = "repo:${var.repository}:pull_request", policy = "arn:aws:iam::aws:policy/ReadOnlyAccess" }
      "headwater-${environment}-apply" = { subject = "repo:${var.repository}:environment:${environment}", policy = "arn:aws:iam::aws:policy/AdministratorAccess" }
    }
  ]...)
}

resource "aws_iam_role" "deployer" {
  #checkov:skip=CKV_AWS_274: Terraform makes roles and keys, so whoever applies it can do everything anyway; the approval guards it
  for_each             = local.deployers
  name                 = each.key
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = each.value.subject
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "deployer" {
  #checkov:skip=CKV_AWS_274: Terraform makes roles and keys, so whoever applies it can do everything anyway; the approval guards it
  for_each   = local.deployers
  role       = aws_iam_role.deployer[each.key].name
  policy_arn = each.value.policy
}

# A plan reads the state and locks it.
resource "aws_iam_role_policy" "state" {
  for_each = aws_iam_role.deployer
  name     = "state"
  role     = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ListStates"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = aws_s3_bucket.state.arn
      },
      {
        Sid      = "ReadAndLockState"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = "${aws_s3_bucket.state.arn}/*"
      },
      {
        Sid      = "UseStateKey"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = aws_kms_key.state.arn
      }
    ]
  })
}

output "deployer_roles" {
  description = "ARNs of the roles that the workflows assume: variables AWS_PLAN_ROLE_<environment> and AWS_APPLY_ROLE_<environment> of the GitHub repository."
  value       = { for name, role in aws_iam_role.deployer : name => role.arn }
}
