locals {
  # Prefixes whose objects are of no use after some days, by purpose of the bucket.
  temporary = {
    raw       = []
    lake      = []
    artifacts = []
    landing   = []
    access    = []
    trail     = []
    logs      = ["temp/", "athena/"]
  }
  logs = {
    logs   = { prefix = "spark/", days = var.retention.logs }
    access = { prefix = "", days = var.retention.access_logs }
    trail  = { prefix = "", days = var.retention.logs }
    # What the audits have told of lineage, a file for each run.
    lake = { prefix = "lineage/", days = var.retention.logs }
  }
  # The ledger's small documents stay where they are read every run; only data files and drops move on.
  ageing = { raw = "", landing = "" }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.retention.old_versions
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  dynamic "rule" {
    for_each = { for purpose, prefix in local.ageing : purpose => prefix if purpose == each.key }

    content {
      id     = "ageing"
      status = "Enabled"

      filter {
        prefix = rule.value
        # Below this size a cheaper class costs more than it saves; what the ledger keeps is smaller.
        object_size_greater_than = 131072
      }

      transition {
        days          = var.retention.raw_infrequent_access
        storage_class = "STANDARD_IA"
      }

      transition {
        days          = var.retention.raw_archive
        storage_class = "GLACIER_IR"
      }
    }
  }

  # Bronze is read once and grows cold, silver and gold stay in use: S3 finds out which file is which.
  dynamic "rule" {
    for_each = toset(each.key == "lake" ? ["tiering"] : [])

    content {
      id     = rule.value
      status = "Enabled"

      filter {
        object_size_greater_than = 131072
      }

      transition {
        days          = 0
        storage_class = "INTELLIGENT_TIERING"
      }
    }
  }

  dynamic "rule" {
    for_each = toset(local.temporary[each.key])

    content {
      id     = "temporary-${trimsuffix(rule.value, "/")}"
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      expiration {
        days = var.retention.temporary
      }
    }
  }

  dynamic "rule" {
    for_each = { for purpose, kept in local.logs : purpose => kept if purpose == each.key }

    content {
      id     = "logs"
      status = "Enabled"

      filter {
        prefix = rule.value.prefix
      }

      expiration {
        days = rule.value.days
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
