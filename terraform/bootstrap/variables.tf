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
    condition     = length(var.environments) > 0 && alltrue([for name in var.environments : fileexists("${path.module}/../../config/environments/${name}.yaml")])
    error_message = "environments must name at least one file of config/environments, and no other."
  }

  validation {
    condition = alltrue([
      for name in var.environments : try(yamldecode(file("${path.module}/../../config/environments/${name}.yaml")).account == var.account, true)
    ])
    error_message = "config/environments/*.yaml of some of the environments names another account."
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

variable "existing" {
  description = "What the account has already, and keeps as it is: catalog_encryption, github_provider, lake_formation_role, public_access_block."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.existing, ["catalog_encryption", "github_provider", "lake_formation_role", "public_access_block"])) == 0
    error_message = "existing takes catalog_encryption, github_provider, lake_formation_role and public_access_block."
  }
}

variable "empty_lake_formation_defaults" {
  description = "Agrees that new databases and tables of this account and region belong to nobody by default."
  type        = bool
  default     = false
}
