variable "root" {
  description = "The repository's folder."
  type        = string
}

variable "packages" {
  description = "The folder that make package has filled."
  type        = string
}

variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "region" {
  description = "Region of the environment."
  type        = string
}

variable "account" {
  description = "Account of the environment."
  type        = string
}

variable "lambdas" {
  description = "The Lambda functions by name: folder of the handler, variables, limits."
  type = map(object({
    folder           = string
    timeout_seconds  = number
    variables        = map(string)
    by_state_machine = bool
  }))
  nullable = false
}

variable "roles" {
  description = "The functions' roles by function name: file in config/roles, values, traits."
  type = map(object({
    file   = string
    values = map(string)
    traits = list(string)
  }))
}

variable "arns" {
  description = "ARNs that only AWS knows, by placeholder of config/roles."
  type        = map(string)
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = map(string)
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
