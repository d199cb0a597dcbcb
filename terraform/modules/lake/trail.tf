# Who has read or written which object of the lake: CloudTrail's data events, for an account that has no trail of them yet.
locals {
  trail     = "${var.prefix}-data-events"
  trail_arn = "arn:aws:cloudtrail:${var.region}:${var.account}:trail/${local.trail}"
  watched   = [for purpose in ["raw", "lake", "landing"] : "arn:aws:s3:::${var.buckets[purpose]}/" if contains(keys(var.buckets), purpose)]
}

resource "aws_cloudtrail" "data_events" {
  #checkov:skip=CKV_AWS_35: with S3's own key, as the access logs; it holds names of objects and of who asked, no rows
  #checkov:skip=CKV_AWS_67: the buckets are in this region; what is done to the account is for a trail of the account
  #checkov:skip=CKV_AWS_252: nobody waits for a file of it
  #checkov:skip=CKV2_AWS_10: it is searched when something has happened, which CloudWatch would charge for every day
  for_each                      = toset(var.data_events ? [local.trail] : [])
  name                          = each.value
  s3_bucket_name                = aws_s3_bucket.this["trail"].id
  enable_log_file_validation    = true
  include_global_service_events = false

  advanced_event_selector {
    name = "Objects of the lake"

    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }

    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }

    field_selector {
      field       = "resources.ARN"
      starts_with = local.watched
    }
  }

  depends_on = [aws_s3_bucket_policy.this]
}
