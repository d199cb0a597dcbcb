variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "region" {
  description = "Region of the environment."
  type        = string
}

variable "record_streams" {
  description = "The Kinesis streams by source.stream."
  type        = map(object({ name = string, retention_hours = number, queued = bool }))
}

variable "queues" {
  description = "The queues by name."
  type = map(object({
    visibility_seconds = number
    retention_seconds  = number
    max_receive_count  = number
  }))
}

variable "mappings" {
  description = "What the functions read by themselves, by ARN of the stream or queue."
  type = map(object({
    folder         = string
    batch_size     = number
    window_seconds = number
    shards         = bool
  }))

  validation {
    condition     = length(setsubtract([for mapping in var.mappings : mapping.folder], keys(var.functions))) == 0
    error_message = "A source of kind kinesis needs lambdas/receive_records, one of kind files lambdas/start_on_drop."
  }
}

variable "drop_pattern" {
  description = "Which events tell of a dropped file, as JSON; none where no source takes any."
  type        = string
  default     = null
}

variable "api" {
  description = "The HTTP API for pushed events; none where no source takes them."
  type = object({
    name             = string
    route            = string
    calls_per_second = number
    burst            = number
  })
  default = null

  validation {
    condition     = var.api == null || contains(keys(var.functions), "receive_event")
    error_message = "A source with an HTTP entrance needs lambdas/receive_event."
  }
}

variable "functions" {
  description = "Name, ARN and alias ARN of each Lambda by its folder."
  type        = map(object({ name = string, arn = string, alias = string }))
}

variable "dead_letters" {
  description = "ARN of the queue of dead letters."
  type        = string
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = map(string)
}

variable "log_days" {
  description = "How long the access log of the API is kept."
  type        = number
}

variable "network" {
  description = "VPC of the jobs; endpoints are made where it asks for them."
  type = object({
    vpc          = string
    subnets      = list(string)
    route_tables = list(string)
    endpoints    = bool
  })
  default = null

  validation {
    condition     = try(!var.network.endpoints || length(var.network.route_tables) > 0, true)
    error_message = "network.endpoints needs network.route_tables, which the S3 endpoint is entered into: see config/environments/*.yaml."
  }
}
