output "topic_arn" {
  description = "ARN of the topic that alerts go to."
  value       = aws_sns_topic.alerts.arn
}
