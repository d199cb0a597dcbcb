variable "pipes" {
  description = "The pipes by name: ARNs of their stream, their queue and their role."
  type        = map(object({ stream_arn = string, queue_arn = string, role_arn = string }))
}

variable "dead_letters" {
  description = "ARN of the dead-letter queue."
  type        = string
}
