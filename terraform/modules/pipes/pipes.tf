# From a Kinesis stream to a queue.
resource "aws_pipes_pipe" "this" {
  for_each    = var.pipes
  name        = each.key
  description = "Takes the records of a stream to a queue."
  role_arn    = each.value.role_arn
  source      = each.value.stream_arn
  target      = each.value.queue_arn

  source_parameters {
    kinesis_stream_parameters {
      starting_position                  = "TRIM_HORIZON"
      batch_size                         = 100
      maximum_batching_window_in_seconds = 1
      maximum_retry_attempts             = 10
      on_partial_batch_item_failure      = "AUTOMATIC_BISECT"

      dead_letter_config {
        arn = var.dead_letters
      }
    }
  }
}
