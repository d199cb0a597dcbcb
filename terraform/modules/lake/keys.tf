# One key for each kind of reader: data, secrets, bookmarks, logs, alerts. Keys cost little, and a role that may use one
# cannot read what another protects.
locals {
  root_principal = "arn:aws:iam::${var.account}:root"
  key_users = {
    data      = []
    secrets   = []
    bookmarks = []
    logs      = ["logs.${var.region}.amazonaws.com"]
    alerts    = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com"]
  }
}

resource "aws_kms_key" "this" {
  for_each                = local.key_users
  description             = "${var.prefix}: ${each.key}."
  enable_key_rotation     = true
  deletion_window_in_days = var.protected ? 30 : 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        # The account's IAM policies decide; those of the roles are in config/roles.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = local.root_principal }
        Action    = "kms:*"
        Resource  = "*"
      }],
      [for service in each.value : {
        Sid       = "Use${replace(title(replace(service, ".", " ")), " ", "")}"
        Effect    = "Allow"
        Principal = { Service = service }
        Action    = startswith(service, "logs.") ? ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"] : ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = (startswith(service, "logs.")
          ? { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${var.account}:log-group:*" } }
          : { StringEquals = { "aws:SourceAccount" = var.account } }
        )
      }]
    )
  })
}

resource "aws_kms_alias" "this" {
  for_each      = aws_kms_key.this
  name          = "alias/${var.prefix}-${each.key}"
  target_key_id = each.value.key_id
}
