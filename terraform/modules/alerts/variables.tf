variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "environment" {
  description = "Name of the environment, as its cost tag has it."
  type        = string
}

variable "region" {
  description = "Region of the environment."
  type        = string
}

variable "topic" {
  description = "The topic that alerts go to."
  type        = object({ name = string, policy = string })
}

variable "alerts" {
  description = "Alert recipients and thresholds."
  type = object({
    emails             = list(string)
    fresh_hours        = number
    quarantine_percent = number
  })

  validation {
    condition     = alltrue([for email in var.alerts.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[a-z]{2,}$", email))])
    error_message = "alerts.emails must be addresses: see config/environments/*.yaml."
  }
}

variable "slack" {
  description = "Name and alias ARN of the Lambda that passes alerts on to Slack; none without a Slack secret."
  type        = object({ name = string, alias = string })
  default     = null
}

variable "state_machine_arn" {
  description = "ARN of the state machine."
  type        = string
}

variable "jobs" {
  description = "Names of the jobs."
  type        = set(string)
}

variable "extract_logs" {
  description = "Log groups of the Extract jobs' output by source."
  type        = map(string)
}

variable "silver_logs" {
  description = "Log group of the Silver job's output."
  type        = string
}

variable "dead_letters" {
  description = "Name of the dead-letter queue."
  type        = string
}

variable "workgroup" {
  description = "Name of the Redshift workgroup."
  type        = string
}

variable "budget_usd" {
  description = "Monthly cost in USD that an alert is sent for."
  type        = number

  validation {
    condition     = var.budget_usd > 0
    error_message = "budget_usd must be more than 0: see config/environments/*.yaml."
  }
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = object({ alerts = string })
}
