variable "root" {
  description = "The repository's folder."
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

variable "warehouse" {
  description = "The Redshift Serverless workgroup that Load goes to."
  type = object({
    workgroup       = string
    database        = string
    base_capacity   = number
    max_capacity    = number
    rpu_hours_a_day = number
    snapshot_days   = number
    existing        = optional(object({ admin_secret = string, admin_secret_key = optional(string) }))
  })

  validation {
    condition     = var.warehouse.base_capacity % 8 == 0 && var.warehouse.max_capacity >= var.warehouse.base_capacity
    error_message = "warehouse.base_capacity must be a multiple of 8 RPUs and at most max_capacity: see config/environments/*.yaml."
  }
}

variable "copy_role" {
  description = "The role that COPY and UNLOAD assume: its name, its file in config/roles, its trust and permissions policies as JSON."
  type        = object({ name = string, file = string, trust = string, permissions = string, boundary = optional(string) })
}

variable "arns" {
  description = "ARNs of the keys, by the placeholder that stands for them in the role's permissions."
  type = object({
    data_key      = string
    secrets_key   = string
    bookmarks_key = string
    alerts_key    = string
  })
}

variable "keys" {
  description = "ARNs of the keys by what they protect."
  type        = object({ data = string, secrets = string })
}

variable "network" {
  description = "VPC and subnets of the workgroup; the account's default ones if absent."
  type        = object({ vpc = string, subnets = list(string) })
  default     = null

  validation {
    condition     = var.network == null || try(length(var.network.subnets) >= 3, false)
    error_message = "Redshift Serverless needs network.subnets in three availability zones: see config/environments/*.yaml."
  }
}

variable "results" {
  description = "S3 address of Athena's results, ending in /."
  type        = string
}

variable "athena_scan_gib" {
  description = "Data that one Athena query may scan, in GiB."
  type        = number
}

variable "databases" {
  description = "Names of the catalog databases by zone."
  type        = map(string)
}

variable "protected" {
  description = "Keeps Athena's workgroup as long as it holds queries."
  type        = bool
}
