variable "role" {
  description = "The role: its name, its file in config/roles, its trust and permissions policies as JSON."
  type        = object({ name = string, file = string, trust = string, permissions = string, boundary = optional(string) })

  validation {
    condition     = length(var.role.name) <= 64
    error_message = "IAM takes role names of at most 64 characters: shorten the environment's prefix or the source's name."
  }

  validation {
    condition = alltrue([
      for resource in flatten([for statement in jsondecode(var.role.permissions).Statement : statement.Resource]) :
      contains([for name in keys(var.arns) : "$${${name}}"], resource) if can(regex("^\\$\\{[a-z_]+\\}$", resource))
    ])
    error_message = "config/roles/${var.role.file}.yaml asks for an ARN that is not known where this role is made; known: ${join(", ", keys(var.arns))}."
  }
}

variable "arns" {
  description = "ARNs that only AWS knows, by the placeholder that stands for them in the permissions."
  type        = map(string)
}
