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

variable "key_policies" {
  description = "Policies of the keys by what they protect: data, secrets, bookmarks, logs, alerts."
  type        = map(string)
}

variable "security_configuration" {
  description = "Name of the Glue security configuration."
  type        = string
}

variable "buckets" {
  description = "Names of the buckets by purpose: raw, lake, artifacts, logs, and landing where files are dropped."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["raw", "lake", "artifacts", "logs"], keys(var.buckets))) == 0
    error_message = "buckets must name raw, lake, artifacts and logs."
  }
}

variable "databases" {
  description = "Names of the catalog databases by zone."
  type        = map(string)
}

variable "retention" {
  description = "Retention of what is stored, in days."
  type = object({
    raw_infrequent_access = number
    raw_archive           = number
    old_versions          = number
    temporary             = number
    logs                  = number
    access_logs           = number
  })

  validation {
    condition     = var.retention.raw_archive >= var.retention.raw_infrequent_access + 30
    error_message = "retention.raw_archive must be 30 days or more after raw_infrequent_access, which S3 bills for 30 days at least."
  }
}

variable "data_events" {
  description = "Whether a trail logs who reads and writes the lake's objects."
  type        = bool
}

variable "analysts" {
  description = "ARNs of the analysts' roles."
  type        = set(string)
}

variable "gold_readers" {
  description = "ARNs of the roles that read all of gold through the catalog, by name."
  type        = map(string)
}

variable "granter" {
  description = "ARN of the role that grants analysts the tables of silver and gold."
  type        = string
}

variable "crawler_roles" {
  description = "ARNs of the crawlers' roles by zone."
  type        = map(string)
}

variable "protected" {
  description = "Refuses the deletion of buckets that hold something."
  type        = bool
}
