# One key for each kind of reader: data, secrets, bookmarks, logs, alerts. Keys cost little, and a role that may use one
# cannot read what another protects. headwater/deploy/resource_policies.py says who may use which.
resource "aws_kms_key" "this" {
  for_each                = var.key_policies
  description             = "${var.prefix}: ${each.key}."
  enable_key_rotation     = true
  deletion_window_in_days = var.protected ? 30 : 7
  policy                  = each.value
}

resource "aws_kms_alias" "this" {
  for_each      = aws_kms_key.this
  name          = "alias/${var.prefix}-${each.key}"
  target_key_id = each.value.key_id
}
