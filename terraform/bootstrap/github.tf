# GitHub's workflows get credentials for an hour by proving who they are; there are no keys to lose.
resource "aws_iam_openid_connect_provider" "github" {
  for_each       = setintersection(["github_provider"], local.made)
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# An account has one provider of an address.
data "aws_iam_openid_connect_provider" "github" {
  for_each = setintersection(["github_provider"], var.existing)
  url      = "https://token.actions.githubusercontent.com"

  lifecycle {
    postcondition {
      condition     = contains(self.client_id_list, "sts.amazonaws.com")
      error_message = "GitHub's provider is there, and does not know the audience sts.amazonaws.com: let its owner add that, which changes nothing for others."
    }
  }
}

locals {
  github = one(concat(
    [for provider in aws_iam_openid_connect_provider.github : provider.arn],
    [for provider in data.aws_iam_openid_connect_provider.github : provider.arn],
  ))
  # A plan may look and may not change, for a pull request and for main; an apply runs only in the GitHub environment that a person
  # has approved.
  deployers = merge([
    for environment in var.environments : {
      "headwater-${environment}-plan" = {
        environment = environment
        subjects    = ["repo:${var.repository}:pull_request", "repo:${var.repository}:ref:refs/heads/main"]
        policy      = "arn:aws:iam::aws:policy/ReadOnlyAccess"
        access      = local.plan_access[environment]
      }
      "headwater-${environment}-apply" = {
        environment = environment
        subjects    = ["repo:${var.repository}:environment:${environment}"]
        policy      = "arn:aws:iam::aws:policy/AdministratorAccess"
        access      = local.apply_access
      }
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
      Principal = { Federated = local.github }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = each.value.subjects
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

resource "aws_iam_role_policy" "deployer" {
  for_each = local.deployers
  name     = "headwater"
  role     = aws_iam_role.deployer[each.key].id
  policy   = jsonencode({ Version = "2012-10-17", Statement = each.value.access })
}

output "deployer_roles" {
  description = "ARNs of the roles that the workflows assume: variables AWS_PLAN_ROLE_<environment> and AWS_APPLY_ROLE_<environment> of the GitHub repository."
  value       = { for name, role in aws_iam_role.deployer : name => role.arn }
}
