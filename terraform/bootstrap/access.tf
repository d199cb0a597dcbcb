# What AWS's own policies do not give the workflows' roles, or give too much of.
locals {
  files    = { for environment in var.environments : environment => "${path.module}/../../config/environments/${environment}.yaml" }
  prefixes = { for environment in var.environments : environment => yamldecode(file(local.files[environment])).prefix }
  states   = { for environment in var.environments : environment => "${aws_s3_bucket.state.arn}/${environment}.tfstate" }

  # Whoever can open a pull request runs code with this role: it reads its own environment's state, locks it, and reads no data.
  plan_access = {
    for environment, state in local.states : environment => [
      {
        Sid      = "ReadState"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [state, "${state}.tflock"]
      },
      {
        Sid      = "LockState"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = "${state}.tflock"
      },
      {
        Sid       = "UseStateKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = aws_kms_key.state.arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
      {
        # Checksums of programs, variables of functions and inputs of schedules: what a plan compares is encrypted with this key.
        Sid      = "SeeWhatIsDeployed"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = "arn:aws:kms:${var.region}:${var.account}:key/*"
        Condition = {
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${local.prefixes[environment]}-data" }
          StringEquals               = { "kms:ViaService" = [for service in ["lambda", "s3", "scheduler"] : "${service}.${var.region}.amazonaws.com"] }
        }
      },
      {
        Sid         = "ReadNoObjects"
        Effect      = "Deny"
        Action      = "s3:GetObject*"
        NotResource = [state, "${state}.tflock", "arn:aws:s3:::${local.prefixes[environment]}-artifacts/*"]
      },
      {
        Sid      = "ReadNoRows"
        Effect   = "Deny"
        Action   = ["athena:GetQueryResults*", "kinesis:GetRecords", "redshift-data:GetStatementResult*", "secretsmanager:GetSecretValue", "sqs:ReceiveMessage"]
        Resource = "*"
      },
    ]
  }

  # A role that an apply makes can do no more than the boundary says, and no apply can move the boundary.
  apply_access = [
    {
      Sid       = "BoundRoles"
      Effect    = "Deny"
      Action    = ["iam:CreateRole", "iam:PutRolePermissionsBoundary"]
      Resource  = "*"
      Condition = { StringNotEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }
    },
    {
      Sid    = "KeepBoundary"
      Effect = "Deny"
      Action = ["iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion", "iam:DeletePolicy*", "iam:SetDefaultPolicyVersion"]
      Resource = [
        aws_iam_policy.boundary.arn,
        "arn:aws:iam::${var.account}:role/*",
      ]
    },
    {
      Sid       = "KeepDeployers"
      Effect    = "Deny"
      NotAction = ["iam:Get*", "iam:List*"]
      Resource  = [for name in keys(local.names) : "arn:aws:iam::${var.account}:role/${name}"]
    },
    {
      Sid      = "MakeNoUsers"
      Effect   = "Deny"
      Action   = ["iam:CreateUser", "iam:CreateAccessKey", "iam:CreateLoginProfile"]
      Resource = "*"
    },
  ]
  names = merge([for environment in var.environments : { for kind in ["plan", "apply"] : "headwater-${environment}-${kind}" => environment }]...)
}

resource "aws_iam_policy" "boundary" {
  name        = "headwater-boundary"
  description = "The most that a job, function or service of Headwater may ever be allowed: boundary in config/environments."
  policy      = file("${path.module}/boundary.json")
}
