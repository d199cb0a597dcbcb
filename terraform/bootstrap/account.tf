# What an account has once, whatever number of environments share it. What is there already and `existing` names stays another's.
data "aws_caller_identity" "here" {}

data "aws_iam_session_context" "here" {
  arn = data.aws_caller_identity.here.arn
}

locals {
  made = setsubtract(["catalog_encryption", "github_provider", "lake_formation_role", "public_access_block"], var.existing)
}

# In whose name Lake Formation reads the lake for analysts.
resource "aws_iam_service_linked_role" "lake_formation" {
  for_each         = setintersection(["lake_formation_role"], local.made)
  aws_service_name = "lakeformation.amazonaws.com"
}

resource "aws_glue_data_catalog_encryption_settings" "this" {
  #checkov:skip=CKV_AWS_94: encrypted at rest with Glue's own key, where this check wants a customer's
  for_each = setintersection(["catalog_encryption"], local.made)

  lifecycle {
    # Deleting it would leave the catalog without any encryption, when it is named in `existing` too late.
    prevent_destroy = true
  }

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
  for_each                = setintersection(["public_access_block"], local.made)
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true

  lifecycle {
    # Deleting it would open the account, when it is named in `existing` too late.
    prevent_destroy = true
  }
}
