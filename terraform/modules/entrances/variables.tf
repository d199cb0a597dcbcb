variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "region" {
  description = "Region of the environment."
  type        = string
}

variable "account" {
  description = "The account's number: the S3 endpoint lets nothing be written to another's buckets."
  type        = string
}

variable "record_streams" {
  description = "The Kinesis streams by source.stream."
  type        = map(object({ name = string, retention_hours = number }))
}

variable "queues" {
  description = "The queues by name."
  type = map(object({
    visibility_seconds = number
    retention_seconds  = number
    max_receive_count  = number
  }))
}

variable "queue_policies" {
  description = "Policies of the queues that EventBridge sends to, by name."
  type        = map(string)
}

variable "mappings" {
  description = "The event source mappings of the functions, by ARN of the stream or queue."
  type = map(object({
    function       = string
    batch_size     = number
    window_seconds = number
    reads_shards   = bool
  }))

  validation {
    condition     = length(setsubtract([for mapping in var.mappings : mapping.function], keys(var.functions))) == 0
    error_message = "A source of kind kinesis needs lambdas/receive_records, one of kind files lambdas/start_on_drop."
  }
}

variable "drop_rules" {
  description = "The rule for dropped files, by the name that its queue has as well: its pattern as JSON; none where no source takes any."
  type        = map(object({ pattern = string }))

  validation {
    condition     = length(setsubtract(keys(var.drop_rules), keys(var.queues))) == 0
    error_message = "A rule for dropped files needs a queue of its name."
  }
}

variable "apis" {
  description = "The HTTP APIs by name: each with its route, what its calls are within its ARN, its limits, and the function that it calls."
  type = map(object({
    description      = string
    route            = string
    calls            = string
    function         = string
    calls_per_second = number
    burst            = number
    timeout_seconds  = number
  }))

  validation {
    condition     = length(setsubtract([for api in var.apis : api.function], keys(var.functions))) == 0
    error_message = "A source with an HTTP entrance needs lambdas/receive_event, the query API lambdas/answer_query."
  }
}

variable "functions" {
  description = "Name, ARN and alias ARN of each Lambda by its name."
  type        = map(object({ name = string, arn = string, alias = string }))
}

variable "dead_letters" {
  description = "ARN of the dead-letter queue."
  type        = string
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = object({ alerts = string, data = string, logs = string })
}

variable "log_days" {
  description = "How long the access logs of the APIs are kept."
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
