locals {
  # Logs of what is done to the others: S3 delivers its own only to a bucket without a customer's key, CloudTrail's are kept apart
  # from whom they tell of.
  log_buckets = merge({ access = "${var.prefix}-access" }, var.data_events ? { trail = "${var.prefix}-trail" } : {})
  buckets     = merge(var.buckets, local.log_buckets)
  writers = {
    access = [{
      Sid       = "AccessLogs"
      Effect    = "Allow"
      Principal = { Service = "logging.s3.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "arn:aws:s3:::${var.prefix}-access/*"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
    trail = [
      {
        Sid       = "TrailLooks"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = "s3:GetBucketAcl"
        Resource  = "arn:aws:s3:::${var.prefix}-trail"
        Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
      },
      {
        Sid       = "TrailWrites"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "arn:aws:s3:::${var.prefix}-trail/AWSLogs/${var.account}/*"
        Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn, "s3:x-amz-acl" = "bucket-owner-full-control" } }
      },
    ]
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144: versions and archive protect against mistakes; a second region would double the cost of storage
  #checkov:skip=CKV_AWS_145: all but the buckets for logs, which S3 and CloudTrail write, and which hold names, not rows
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
    bucket_key_enabled = !contains(keys(local.log_buckets), each.key)

    apply_server_side_encryption_by_default {
      sse_algorithm     = contains(keys(local.log_buckets), each.key) ? "AES256" : "aws:kms"
      kms_master_key_id = contains(keys(local.log_buckets), each.key) ? null : aws_kms_key.this["data"].arn
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
      lookup(local.writers, each.key, []),
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
