variable "name" {
  description = "Name of the role."
  type        = string

  validation {
    condition     = length(var.name) <= 64
    error_message = "IAM takes role names of at most 64 characters: shorten the environment's prefix or the source's name."
  }
}

variable "spec" {
  description = "The role as modules/project derives it: file in config/roles, values of its placeholders, traits."
  type = object({
    file   = string
    values = map(string)
    traits = list(string)
  })
}

variable "arns" {
  description = "ARNs that only AWS knows, by placeholder."
  type        = map(string)
}

variable "folder" {
  description = "The folder config/roles."
  type        = string
}
