variable "environment" {
  description = "Name of a file in config/environments: dev, staging or prod."
  type        = string
  nullable    = false

  validation {
    condition     = fileexists("${path.module}/../config/environments/${var.environment}.yaml")
    error_message = "environment is not declared: add config/environments/<environment>.yaml."
  }
}

variable "glue_version" {
  description = "Version of Glue: 5.0 is Spark 3.5.4 with Delta 3.3.0, 5.1 is Spark 3.5.6 with Delta 3.3.2."
  type        = string
  default     = "5.1"

  validation {
    condition     = contains(["5.0", "5.1"], var.glue_version)
    error_message = "glue_version must be 5.0 or 5.1: the library needs Python 3.11 and Delta 3.3."
  }
}

variable "reserved_concurrency" {
  description = "Instances of each Lambda that may run at once; -1 where the account has none to reserve."
  type        = number
  default     = 10

  validation {
    condition     = var.reserved_concurrency >= 1 || var.reserved_concurrency == -1
    error_message = "reserved_concurrency must be 1 or more, or -1 for no reservation: 0 would stop the functions."
  }
}
