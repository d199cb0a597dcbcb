# One key for each kind of reader: data, secrets, bookmarks, logs, alerts. Keys cost little, and a role that may use one
# cannot read what another protects.
locals {
  root_principal = "arn:aws:iam::${var.account}:root"
  key_users = {
    data      = []
    secrets   = []
    bookmarks = []
    logs      = ["logs.${var.region}.amazonaws.com"]
    alerts    = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com"]
  }
  # What narrows the use of a key by a service; EventBridge knows no such condition for encrypted topics and queues.
  own_logs = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${var.account}:log-group:*" } }
  key_conditions = {
    "logs.${var.region}.amazonaws.com" = { Condition = local.own_logs }
    "events.amazonaws.com"             = {}
  }
  # Lake Formation reads the lake for analysts in its own name; terraform/bootstrap makes this role.
  reader = "arn:aws:iam::${var.account}:role/aws-service-role/lakeformation.amazonaws.com/AWSServiceRoleForLakeFormationDataAccess"
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
      [for service in each.value : merge(
        {
          Sid       = "Use${replace(title(replace(service, "/[.-]/", " ")), " ", "")}"
          Effect    = "Allow"
          Principal = { Service = service }
          Action    = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"]
          Resource  = "*"
        },
        lookup(local.key_conditions, service, { Condition = { StringEquals = { "aws:SourceAccount" = var.account } } })
      )],
      [for reader in each.key == "data" ? [local.reader] : [] : {
        Sid       = "UseLakeFormation"
        Effect    = "Allow"
        Principal = { AWS = reader }
        Action    = ["kms:Decrypt", "kms:DescribeKey"]
        Resource  = "*"
      }],
    )
  })
}

resource "aws_kms_alias" "this" {
  for_each      = aws_kms_key.this
  name          = "alias/${var.prefix}-${each.key}"
  target_key_id = each.value.key_id
}
