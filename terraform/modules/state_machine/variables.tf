variable "root" {
  description = "The repository's folder."
  type        = string
}

variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "state_machine" {
  description = "Name of the state machine, its ARN, and what the placeholders of step_functions/pipeline.asl.json stand for."
  type = object({
    name   = string
    arn    = string
    values = map(string)
  })
}

variable "roles" {
  description = "The roles of the state machine and of the scheduler by name: file in config/roles, values, traits."
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

variable "schedules" {
  description = "What the scheduler does, and when, by name; JSON of the input."
  type = map(object({
    expression = string
    time_zone  = string
    action     = string
    input      = string
  }))
  nullable = false

  validation {
    condition     = alltrue([for schedule in var.schedules : can(regex("^cron\\((\\S+ ){5}\\S+\\)$", schedule.expression))])
    error_message = "A schedule's cron has six fields (minutes hours day-of-month month day-of-week year): see config/environments/*.yaml."
  }
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = map(string)
}

variable "topic_arn" {
  description = "ARN of the topic that alerts go to."
  type        = string
}

variable "dead_letters" {
  description = "ARN of the queue of dead letters."
  type        = string
}

variable "log_days" {
  description = "How long the state machine's log is kept."
  type        = number
}
