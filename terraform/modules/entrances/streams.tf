resource "aws_kinesis_stream" "this" {
  for_each         = var.record_streams
  name             = each.value.name
  retention_period = each.value.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = var.keys.data

  stream_mode_details {
    stream_mode = "ON_DEMAND"
  }
}
