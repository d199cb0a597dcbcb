variable "packages" {
  description = "The folder that make package has filled."
  type        = string
}

variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "lambdas" {
  description = "The Lambda functions by name: folder of the handler, variables, limits."
  type = map(object({
    folder          = string
    timeout_seconds = number
    variables       = map(string)
    role            = object({ name = string, file = string, trust = string, permissions = string })
  }))
  nullable = false
}

variable "arns" {
  description = "ARNs that only AWS knows, by the placeholder that stands for them in the roles' permissions."
  type = object({
    data_key      = string
    secrets_key   = string
    bookmarks_key = string
    alerts_key    = string
    workgroup_arn = string
    namespace_arn = string
  })
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = object({ alerts = string, data = string, logs = string })
}

variable "reserved_concurrency" {
  description = "How many instances of a function may run at once; it also keeps that many free for it."
  type        = number

  validation {
    condition     = var.reserved_concurrency >= 1 || var.reserved_concurrency == -1
    error_message = "reserved_concurrency must be 1 or more, or -1 for no reservation: 0 would stop the functions."
  }
}

variable "log_days" {
  description = "How long the functions' logs are kept."
  type        = number
}

variable "dead_letters_policy" {
  description = "Policy of the queue of dead letters."
  type        = string
}
