output "arn" {
  description = "ARN of the state machine."
  value       = aws_sfn_state_machine.pipeline.arn
}

output "role_names" {
  description = "Names of the roles of the state machine and of the scheduler."
  value       = { for name, role in module.role : name => role.name }
}
