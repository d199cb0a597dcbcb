# Records that are delivered by queue, and events of dropped files. What fails too often is dead-lettered.
resource "aws_sqs_queue" "this" {
  for_each                   = var.queues
  name                       = each.key
  visibility_timeout_seconds = each.value.visibility_seconds
  message_retention_seconds  = each.value.retention_seconds
  kms_master_key_id          = var.keys.alerts

  redrive_policy = jsonencode({
    deadLetterTargetArn = var.dead_letters
    maxReceiveCount     = each.value.max_receive_count
  })
}

# The event source mappings of the functions: shards in order, one at a time; queues in any order.
resource "aws_lambda_event_source_mapping" "this" {
  for_each                           = var.mappings
  event_source_arn                   = each.key
  function_name                      = var.functions[each.value.function].alias
  batch_size                         = each.value.batch_size
  maximum_batching_window_in_seconds = each.value.window_seconds
  function_response_types            = ["ReportBatchItemFailures"]
  starting_position                  = each.value.reads_shards ? "TRIM_HORIZON" : null
  parallelization_factor             = each.value.reads_shards ? 1 : null
  bisect_batch_on_function_error     = each.value.reads_shards ? true : null
  # Until they expire in Kinesis: an unreadable record fails nothing, so a failure concerns all records, and is transient.
  maximum_retry_attempts = each.value.reads_shards ? -1 : null

  # Below what is reserved for the function: a receive that Lambda refuses counts towards the queue's dead letters.
  dynamic "scaling_config" {
    for_each = each.value.reads_shards ? [] : ["queue"]

    content {
      maximum_concurrency = 5
    }
  }

  dynamic "destination_config" {
    for_each = each.value.reads_shards ? [var.dead_letters] : []

    content {
      on_failure {
        destination_arn = destination_config.value
      }
    }
  }

  depends_on = [aws_kinesis_stream.this, aws_sqs_queue.this]
}

# A file that is dropped starts a run of its source; the queue gathers the events for a minute.
resource "aws_cloudwatch_event_rule" "drops" {
  for_each      = var.drop_rules
  name          = each.key
  description   = "Objects created below the prefixes that partners write to."
  event_pattern = each.value.pattern
}

resource "aws_cloudwatch_event_target" "drops" {
  for_each = aws_cloudwatch_event_rule.drops
  rule     = each.value.name
  arn      = aws_sqs_queue.this[each.key].arn

  dead_letter_config {
    arn = var.dead_letters
  }
}

resource "aws_sqs_queue_policy" "drops" {
  for_each  = aws_cloudwatch_event_rule.drops
  queue_url = aws_sqs_queue.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Drops"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.this[each.key].arn
      Condition = { ArnEquals = { "aws:SourceArn" = each.value.arn } }
    }]
  })
}
