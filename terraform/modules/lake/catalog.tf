resource "aws_glue_catalog_database" "this" {
  for_each     = var.databases
  name         = each.value
  description  = "The ${each.key} zone: native Delta tables, kept true by crawlers."
  location_uri = "s3://${var.buckets.lake}/${each.key}/"

  # Without Lake Formation's default for everyone, its grants decide who reads a table.
  create_table_default_permission {
    permissions = []

    principal {
      data_lake_principal_identifier = "IAM_ALLOWED_PRINCIPALS"
    }
  }
}

resource "aws_glue_security_configuration" "this" {
  name = var.security_configuration

  encryption_configuration {
    cloudwatch_encryption {
      cloudwatch_encryption_mode = "SSE-KMS"
      kms_key_arn                = aws_kms_key.this["logs"].arn
    }

    job_bookmarks_encryption {
      job_bookmarks_encryption_mode = "CSE-KMS"
      kms_key_arn                   = aws_kms_key.this["bookmarks"].arn
    }

    s3_encryption {
      s3_encryption_mode = "SSE-KMS"
      kms_key_arn        = aws_kms_key.this["data"].arn
    }
  }
}
