output "api_urls" {
  description = "Where each HTTP API is, by its name."
  value       = { for name, api in aws_apigatewayv2_api.this : name => api.api_endpoint }
}

output "stream_arns" {
  description = "ARNs of the Kinesis streams by source.stream."
  value       = { for key, stream in aws_kinesis_stream.this : key => stream.arn }
}

output "queue_arns" {
  description = "ARNs of the queues by name."
  value       = { for name, queue in aws_sqs_queue.this : name => queue.arn }
}
