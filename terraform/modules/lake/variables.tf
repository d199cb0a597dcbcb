variable "prefix" {
  description = "What starts every name."
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

variable "tables" {
  description = "Names of the tables of silver and gold, which analysts are granted."
  type        = object({ silver = set(string), gold = set(string) })
}

variable "retention" {
  description = "Retention of what is stored, in days."
  type = object({
    raw_infrequent_access = number
    raw_archive           = number
    old_versions          = number
    temporary             = number
    logs                  = number
  })

  validation {
    condition     = var.retention.raw_archive >= var.retention.raw_infrequent_access + 30
    error_message = "retention.raw_archive must be 30 days or more after raw_infrequent_access, which S3 bills for 30 days at least."
  }
}

variable "analysts" {
  description = "ARNs of the analysts' roles, and what stays hidden from them by table."
  type = object({
    roles          = list(string)
    hidden_columns = map(list(string))
    row_filters    = map(string)
  })

  validation {
    condition = length(setsubtract(
      concat(keys(var.analysts.hidden_columns), keys(var.analysts.row_filters)),
      setunion(var.tables.silver, var.tables.gold)
    )) == 0
    error_message = "analysts.hidden_columns and row_filters must name tables of silver or gold: see config/environments/*.yaml."
  }
}

variable "tables_exist" {
  description = "Whether the crawlers have made the tables, which Lake Formation must find before it can grant them."
  type        = bool
}

variable "crawler_roles" {
  description = "ARNs of the crawlers' roles by zone."
  type        = map(string)
}

variable "protected" {
  description = "Refuses the deletion of buckets that hold something."
  type        = bool
}
