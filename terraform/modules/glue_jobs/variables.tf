variable "prefix" {
  description = "What starts every name."
  type        = string
}

variable "root" {
  description = "The repository's folder."
  type        = string
}

variable "packages" {
  description = "The folder that make package has filled."
  type        = string
}

variable "project_file" {
  description = "The declared project as make package has written it, which every job and Lambda reads."
  type        = string
}

variable "glue_version" {
  description = "Version of Glue that the jobs run on."
  type        = string
}

variable "jobs" {
  description = "One Extract job for each source, and one job for each shared stage, by name; the latter have no source, and no connection where none is needed."
  type = map(object({
    script              = string
    script_key          = string
    source              = string
    connection          = string
    arguments           = map(string)
    log_group           = string
    worker_type         = string
    workers             = number
    timeout_minutes     = number
    max_concurrent_runs = number
    flex                = bool
    role                = object({ name = string, file = string, trust = string, permissions = string })
  }))
  nullable = false

  validation {
    condition     = alltrue([for job in var.jobs : !job.flex || contains(["G.1X", "G.2X"], job.worker_type)])
    error_message = "A flex job needs worker_type G.1X or G.2X: see stages in config/environments/*.yaml."
  }
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

variable "artifacts" {
  description = "Name of the bucket for programs."
  type        = string
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = object({ data = string, logs = string, secrets = string })
}

variable "security_configuration" {
  description = "Name of the Glue security configuration."
  type        = string
}

variable "secrets" {
  description = "Names of the secrets that sources and alerts need; their values are put in by hand."
  type        = set(string)
}

variable "network" {
  description = "VPC of the jobs that need one."
  type        = object({ vpc = string, subnets = list(string) })
  default     = null
}

variable "log_days" {
  description = "How long the jobs' logs are kept."
  type        = number
}

variable "protected" {
  description = "Keeps a deleted secret for 30 days instead of 7."
  type        = bool
}
