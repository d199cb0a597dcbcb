variable "environment" {
  description = "One file of config/environments; what it leaves out is filled in as headwater/config/environment.py does."
  type = object({
    name    = string
    prefix  = string
    region  = string
    account = string
    warehouse = object({
      workgroup       = string
      database        = string
      copy_role       = string
      base_capacity   = optional(number, 8)
      max_capacity    = optional(number, 64)
      rpu_hours_a_day = optional(number, 24)
      snapshot_days   = optional(number, 7)
    })
    schedules = optional(map(object({
      cron      = string
      time_zone = optional(string, "UTC")
      sources   = optional(list(string), [])
    })), {})
    maintenance = optional(object({
      cron      = string
      time_zone = optional(string, "UTC")
    }))
    stages = optional(map(object({
      worker_type     = optional(string, "G.1X")
      workers         = optional(number, 2)
      timeout_minutes = optional(number, 120)
      flex            = optional(bool, false)
    })), {})
    retention = optional(object({
      raw_infrequent_access = optional(number, 30)
      raw_archive           = optional(number, 90)
      old_versions          = optional(number, 30)
      temporary             = optional(number, 7)
      logs                  = optional(number, 365)
    }), {})
    alerts = optional(object({
      emails             = optional(list(string), [])
      slack_secret       = optional(string)
      fresh_hours        = optional(number, 26)
      quarantine_percent = optional(number, 5)
    }), {})
    network = optional(object({
      vpc          = string
      subnets      = list(string)
      route_tables = optional(list(string), [])
      endpoints    = optional(bool, false)
      rds_proxies = optional(map(object({
        source        = string
        engine_family = string
        instance      = string
      })), {})
    }))
    analysts = optional(object({
      roles          = optional(list(string), [])
      hidden_columns = optional(map(list(string)), {})
      row_filters    = optional(map(string), {})
    }), {})
    budget_usd      = optional(number, 1000)
    athena_scan_gib = optional(number, 100)
    protected       = optional(bool, false)
    sources         = optional(map(object({ window_seconds = optional(number) })), {})
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.environment.prefix))
    error_message = "prefix must be lower case letters, digits and hyphens, at most 41: see config/environments/*.yaml."
  }

  validation {
    condition     = can(regex("^\\d{12}$", var.environment.account))
    error_message = "account must be the 12 digits of an AWS account, in quotes: see config/environments/*.yaml."
  }

  validation {
    condition     = var.environment.warehouse.copy_role == "arn:aws:iam::${var.environment.account}:role/${var.environment.prefix}-copy"
    error_message = "warehouse.copy_role must be arn:aws:iam::<account>:role/<prefix>-copy, the role that Terraform makes."
  }

  validation {
    condition     = alltrue([for stage in var.environment.stages : contains(["G.1X", "G.2X", "G.4X", "G.8X"], stage.worker_type)])
    error_message = "stages.*.worker_type must be G.1X, G.2X, G.4X or G.8X: see config/environments/*.yaml."
  }
}

variable "sources" {
  description = "One entry for each file in config/sources, keyed by source name."
  type = map(object({
    kind   = string
    secret = optional(string)
    job = optional(object({
      worker_type     = optional(string, "G.1X")
      workers         = optional(number, 2)
      timeout_minutes = optional(number, 60)
    }), {})
    auth = optional(object({ kind = string }))
    entrance = optional(object({
      kind             = optional(string, "drop")
      window_seconds   = optional(number, 60)
      calls_per_second = optional(number, 50)
      burst            = optional(number, 100)
    }), {})
    streams = map(object({
      table           = string
      prefix          = optional(string)
      retention_hours = optional(number, 168)
      delivery = optional(object({
        kind              = optional(string, "direct")
        batch_size        = optional(number)
        window_seconds    = optional(number, 60)
        max_receive_count = optional(number, 5)
      }), {})
    }))
  }))
  nullable = false

  validation {
    condition     = alltrue([for source in var.sources : contains(["G.1X", "G.2X", "G.4X", "G.8X"], source.job.worker_type)])
    error_message = "job.worker_type must be G.1X, G.2X, G.4X or G.8X: see config/sources/*.yaml."
  }

  validation {
    condition     = alltrue([for source in var.sources : source.job.workers >= 2])
    error_message = "job.workers must be 2 or more, the least that Glue starts: see config/sources/*.yaml."
  }
}

variable "crawlers" {
  description = "One entry for each file in crawlers, keyed by zone."
  type = map(object({
    zone          = string
    schedule      = optional(string)
    schema_change = object({ update = string, delete = string })
  }))
  nullable = false

  validation {
    condition     = alltrue([for crawler in var.crawlers : contains(["bronze", "silver", "gold", "quarantine"], crawler.zone)])
    error_message = "zone must be bronze, silver, gold or quarantine: see crawlers/*.yaml."
  }

  validation {
    condition = alltrue([
      for crawler in var.crawlers : contains(["LOG", "UPDATE_IN_DATABASE"], crawler.schema_change.update)
      && contains(["LOG", "DELETE_FROM_DATABASE", "DEPRECATE_IN_DATABASE"], crawler.schema_change.delete)
    ])
    error_message = "schema_change must be one of Glue's update and delete behaviours: see crawlers/*.yaml."
  }
}

variable "gold" {
  description = "Names of the gold tables."
  type        = set(string)
}

variable "scripts" {
  description = "Names of the entry scripts in glue_jobs; each but extract is the stage that all sources share."
  type        = set(string)
}

variable "handlers" {
  description = "Names of the folders in lambdas."
  type        = set(string)
}
