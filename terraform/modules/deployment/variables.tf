variable "root" {
  description = "The repository's folder."
  type        = string
}

variable "packages" {
  description = "The folder that make package has filled."
  type        = string
}

variable "environment" {
  description = "Name of a file in config/environments."
  type        = string

  validation {
    condition     = fileexists("${var.packages}/${var.environment}/deployment.json")
    error_message = "There is no build/packages/${var.environment}/deployment.json: run `make package ENV=${var.environment}` first."
  }
}
