output "functions" {
  description = "Name, ARN and alias ARN of each function by its name."
  value = {
    for name, function in aws_lambda_function.this : name => {
      name  = name
      arn   = function.arn
      alias = aws_lambda_alias.live[name].arn
    }
  }
}

output "roles" {
  description = "ARN of each function's role by the function's name."
  value       = { for name, role in module.role : name => role.arn }
}

output "dead_letters" {
  description = "Name and ARN of the dead-letter queue."
  value       = { name = aws_sqs_queue.dead_letters.name, arn = aws_sqs_queue.dead_letters.arn }
}
