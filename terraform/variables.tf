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
