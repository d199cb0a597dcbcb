# The secrets' names; a person puts their values in, so that none is ever in a state or a plan.
resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57: keys of other companies' APIs, which only these can change; OAuth tokens are rotated by Extract
  for_each    = var.secrets
  name        = each.key
  description = "Read by its own source's Extract job alone."
  kms_key_id  = var.keys.secrets
  # As long as a deleted secret can come back, its name is taken: an environment, or a source, could not be made anew.
  recovery_window_in_days = var.protected ? 30 : 0
}
