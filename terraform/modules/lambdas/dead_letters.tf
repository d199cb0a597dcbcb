# Dead letters wait here for two weeks; the first raises an alarm.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.prefix}-dead-letters"
  message_retention_seconds = 1209600
  kms_master_key_id         = var.keys.alerts
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = var.dead_letters_policy
}
