variable "account" {
  description = "The AWS account, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^\\d{12}$", var.account))
    error_message = "account must be the 12 digits of an AWS account, in quotes."
  }
}

variable "region" {
  description = "Region of the environments in this account."
  type        = string
  default     = "eu-west-1"
}

variable "environments" {
  description = "Environments that are deployed to this account; the names are those of config/environments."
  type        = set(string)

  validation {
    condition     = length(var.environments) > 0
    error_message = "environments must name at least one file of config/environments."
  }
}

variable "repository" {
  description = "The GitHub repository whose workflows may deploy, as owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be written owner/name."
  }
}
