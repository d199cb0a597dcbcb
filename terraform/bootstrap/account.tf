# What an account has once, whatever number of environments share it.
data "aws_caller_identity" "here" {}

data "aws_iam_session_context" "here" {
  arn = data.aws_caller_identity.here.arn
}

# In whose name Lake Formation reads the lake for analysts.
resource "aws_iam_service_linked_role" "lake_formation" {
  aws_service_name = "lakeformation.amazonaws.com"
}

# Who may grant what in Lake Formation; tables that are made from now on belong to nobody else by default.
resource "aws_lakeformation_data_lake_settings" "this" {
  admins = concat(
    [data.aws_iam_session_context.here.issuer_arn],
    [for name, role in aws_iam_role.deployer : role.arn if endswith(name, "-apply")],
  )
}

resource "aws_glue_data_catalog_encryption_settings" "this" {
  #checkov:skip=CKV_AWS_94: encrypted at rest with Glue's own key, where this check wants a customer's
  data_catalog_encryption_settings {
    connection_password_encryption {
      return_connection_password_encrypted = true
      aws_kms_key_id                       = aws_kms_key.state.arn
    }

    encryption_at_rest {
      # With Glue's own key, which everybody in the account may use through Glue; what is in the catalog is no secret.
      catalog_encryption_mode = "SSE-KMS"
    }
  }
}

resource "aws_s3_account_public_access_block" "this" {
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}
