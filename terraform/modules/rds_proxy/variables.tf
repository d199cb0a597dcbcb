variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "proxies" {
  description = "The proxies by key: name, engine, instance, ARNs of the role and of the secret."
  type = map(object({
    name          = string
    engine_family = string
    instance      = string
    role_arn      = string
    secret_arn    = string
  }))

  validation {
    condition     = alltrue([for proxy in var.proxies : contains(["POSTGRESQL", "MYSQL"], proxy.engine_family)])
    error_message = "network.rds_proxies.*.engine_family must be POSTGRESQL or MYSQL: see config/environments/*.yaml."
  }
}

variable "network" {
  description = "VPC and subnets of the proxies."
  type        = object({ vpc = string, subnets = list(string) })
  default     = null
}

variable "jobs_groups" {
  description = "Security groups of the jobs by VPC."
  type        = map(string)
}
