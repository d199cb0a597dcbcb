output "events_url" {
  description = "Where events are pushed to; none where no source takes them."
  value       = one([for api in aws_apigatewayv2_api.this : "${api.api_endpoint}/events"])
}

output "stream_arns" {
  description = "ARNs of the Kinesis streams by source.stream."
  value       = { for key, stream in aws_kinesis_stream.this : key => stream.arn }
}

output "queue_arns" {
  description = "ARNs of the queues by name."
  value       = { for name, queue in aws_sqs_queue.this : name => queue.arn }
}
