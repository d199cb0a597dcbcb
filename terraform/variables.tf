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
  description = "Version of Glue: 5.1 is Spark 3.5.6 with Delta 3.3.2, and the only one that the jobs run on."
  type        = string
  default     = "5.1"

  validation {
    condition     = var.glue_version == "5.1"
    error_message = "glue_version must be 5.1. 5.0 has boto3 1.34, which knows no conditional write (IfNoneMatch), and EMRFS instead of S3A; what hinders 6.0, docs/adr/0017-glue-5-1-until-deequ-and-python-3-13.md says."
  }
}

variable "tables_exist" {
  description = "Set once the first run has made the catalog's tables: analysts are then granted what they may see of them."
  type        = bool
  default     = false
}

variable "existing_workgroup" {
  description = "ARN of the Redshift Serverless workgroup that the environment names, where it is there already."
  type        = string
  default     = null
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
