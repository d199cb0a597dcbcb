locals {
  # S3 delivers its own access logs only to a bucket without a customer's key, so these have one of their own.
  buckets = merge(var.buckets, { access = "${var.prefix}-access" })
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144: versions and archive protect against mistakes; a second region would double the cost of storage
  #checkov:skip=CKV_AWS_145: all but the bucket for access logs, which S3 delivers only to one without a customer's key
  for_each      = local.buckets
  bucket        = each.value
  force_destroy = !var.protected
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    bucket_key_enabled = each.key != "access"

    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "access" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "access" ? null : aws_kms_key.this["data"].arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "OnlyEncryptedConnections"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [each.value.arn, "${each.value.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
      [for purpose in [each.key] : {
        Sid       = "AccessLogs"
        Effect    = "Allow"
        Principal = { Service = "logging.s3.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${each.value.arn}/*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
      } if purpose == "access"]
    )
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_notification" "this" {
  for_each    = aws_s3_bucket.this
  bucket      = each.value.id
  eventbridge = true
}

resource "aws_s3_bucket_logging" "this" {
  for_each      = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket if purpose != "access" }
  bucket        = each.value.id
  target_bucket = aws_s3_bucket.this["access"].id
  target_prefix = "${each.value.id}/"

  # S3 refuses a target that does not let the logging service write.
  depends_on = [aws_s3_bucket_policy.this]
}
