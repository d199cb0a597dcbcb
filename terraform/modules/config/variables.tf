variable "root" {
  description = "The repository's folder."
  type        = string
}

variable "environment" {
  description = "Name of a file in config/environments."
  type        = string

  validation {
    condition     = fileexists("${var.root}/config/environments/${var.environment}.yaml")
    error_message = "environment is not declared: add config/environments/<environment>.yaml."
  }
}
