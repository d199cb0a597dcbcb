variable "crawlers" {
  description = "The crawlers by name, as crawlers/*.yaml and config/ declare them."
  type = map(object({
    zone         = string
    database     = string
    table_prefix = string
    tables       = list(string)
    schedule     = optional(string)
    update       = string
    delete       = string
  }))
  nullable = false

  validation {
    condition     = alltrue([for crawler in var.crawlers : length(crawler.tables) > 0])
    error_message = "A crawler needs tables: its zone has none."
  }
}

variable "role_arns" {
  description = "ARNs of the crawlers' roles by zone."
  type        = map(string)
}

variable "security_configuration" {
  description = "Name of the Glue security configuration."
  type        = string
}
