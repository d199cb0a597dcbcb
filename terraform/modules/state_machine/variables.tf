variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "state_machine" {
  description = "Name, definition and role of the state machine."
  type = object({
    name       = string
    definition = string
    role       = object({ name = string, file = string, trust = string, permissions = string, boundary = optional(string) })
  })
}

variable "scheduler_role" {
  description = "The role of the scheduler: its name, its file in config/roles, its trust and permissions policies as JSON."
  type        = object({ name = string, file = string, trust = string, permissions = string, boundary = optional(string) })
}

variable "arns" {
  description = "ARNs that only AWS knows, by the placeholder that stands for them in the roles' permissions."
  type = object({
    data_key      = string
    secrets_key   = string
    bookmarks_key = string
    alerts_key    = string
    admin_secret  = string
    workgroup_arn = string
    namespace_arn = string
  })
}

variable "schedules" {
  description = "What the scheduler does, and when, by name; JSON of the input."
  type = map(object({
    expression = string
    time_zone  = string
    action     = string
    input      = string
    enabled    = bool
  }))
  nullable = false

  validation {
    condition     = alltrue([for schedule in var.schedules : can(regex("^cron\\((\\S+ ){5}\\S+\\)$", schedule.expression))])
    error_message = "A schedule's cron has six fields (minutes hours day-of-month month day-of-week year): see config/environments/*.yaml."
  }
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = object({ data = string, logs = string })
}

variable "topic_arn" {
  description = "ARN of the topic that alerts go to."
  type        = string
}

variable "dead_letters" {
  description = "ARN of the dead-letter queue."
  type        = string
}

variable "log_days" {
  description = "How long the state machine's log is kept."
  type        = number
}
