variable "folder" {
  description = "The folder config/roles."
  type        = string
}

variable "role" {
  description = "Name of a file in the folder."
  type        = string
}

variable "values" {
  description = "What the placeholders of the file stand for; a list is given as JSON, which YAML reads."
  type        = map(string)
}

variable "traits" {
  description = "Which of the statements that ask for a trait by `when` apply."
  type        = set(string)
  default     = []
}
