locals {
  environment = module.project.environment
  prefix      = module.project.prefix
  roles       = module.project.roles
  keys        = module.lake.keys

  # What the placeholders of config/roles stand for that only AWS knows.
  key_arns = {
    data_key      = local.keys.data
    secrets_key   = local.keys.secrets
    bookmarks_key = local.keys.bookmarks
    alerts_key    = local.keys.alerts
  }
  arns = merge(local.key_arns, {
    workgroup_arn = module.warehouse.workgroup_arn
    namespace_arn = try(module.warehouse.namespace.arn, "arn:aws:redshift-serverless:${local.environment.region}:${local.environment.account}:namespace/none")
  })
}

module "lake" {
  source        = "./modules/lake"
  prefix        = local.prefix
  region        = local.environment.region
  account       = local.environment.account
  buckets       = module.project.buckets
  databases     = module.project.databases
  tables        = module.project.tables
  retention     = local.environment.retention
  analysts      = local.environment.analysts
  tables_exist  = var.tables_exist
  crawler_roles = { for zone, role in module.crawler_role : zone => role.arn }
  protected     = local.environment.protected

  depends_on = [terraform_data.packed]
}

module "glue_jobs" {
  source                 = "./modules/glue_jobs"
  prefix                 = local.prefix
  root                   = local.root
  packages               = local.packages
  project_file           = "${local.packages}/${var.environment}/project.json"
  glue_version           = var.glue_version
  jobs                   = module.project.jobs
  roles                  = { for name in keys(module.project.jobs) : name => local.roles[name] }
  arns                   = local.arns
  artifacts              = module.lake.buckets.artifacts
  keys                   = local.keys
  security_configuration = module.lake.security_configuration
  secrets                = module.project.secrets
  connections            = module.project.connections
  network                = local.environment.network
  log_days               = local.environment.retention.logs
  protected              = local.environment.protected
}

module "crawler_role" {
  source   = "./modules/role"
  for_each = module.project.databases
  name     = "${local.prefix}-crawl-${each.key}"
  folder   = "${local.root}/config/roles"
  spec     = local.roles["${local.prefix}-crawl-${each.key}"]
  arns     = local.key_arns
}

module "crawlers" {
  source                 = "./modules/crawlers"
  crawlers               = module.project.crawlers
  role_arns              = { for zone, role in module.crawler_role : zone => role.arn }
  security_configuration = module.lake.security_configuration
}

module "lambdas" {
  source               = "./modules/lambdas"
  region               = local.environment.region
  account              = local.environment.account
  root                 = local.root
  packages             = local.packages
  prefix               = local.prefix
  lambdas              = module.project.lambdas
  roles                = { for name in keys(module.project.lambdas) : name => local.roles[name] }
  arns                 = local.arns
  keys                 = local.keys
  reserved_concurrency = var.reserved_concurrency
  log_days             = local.environment.retention.logs
}

module "warehouse" {
  source             = "./modules/warehouse"
  root               = local.root
  prefix             = local.prefix
  warehouse          = local.environment.warehouse
  existing_workgroup = var.existing_workgroup
  copy_role          = local.roles["${local.prefix}-copy"]
  arns               = local.key_arns
  keys               = local.keys
  network            = local.environment.network
  loaders            = module.project.warehouse_users
  analysts           = local.environment.analysts.roles
  results            = "s3://${module.lake.buckets.logs}/athena/"
  athena_scan_gib    = local.environment.athena_scan_gib
  databases          = module.lake.databases
  protected          = local.environment.protected
}

module "state_machine" {
  source        = "./modules/state_machine"
  root          = local.root
  prefix        = local.prefix
  state_machine = module.project.state_machine
  roles         = { for name in [module.project.state_machine.name, "${local.prefix}-scheduler"] : name => local.roles[name] }
  arns          = local.arns
  schedules     = local.schedules
  keys          = local.keys
  topic_arn     = module.alerts.topic_arn
  dead_letters  = module.lambdas.dead_letters.arn
  log_days      = local.environment.retention.logs
}

locals {
  snapshots = {
    for namespace in module.warehouse.namespace[*] : "${local.prefix}-snapshot" => {
      expression = "cron(0 1 * * ? *)"
      time_zone  = "UTC"
      action     = "arn:aws:scheduler:::aws-sdk:redshiftserverless:createSnapshot"
      input = {
        NamespaceName   = namespace.name
        SnapshotName    = "${local.prefix}-<aws.scheduler.execution-id>"
        RetentionPeriod = local.environment.warehouse.snapshot_days
      }
    }
  }
  schedules = {
    for name, schedule in merge(module.project.schedules, local.snapshots) : name => merge(schedule, {
      # jsonencode writes < and > as \u003c and \u003e, in which the scheduler would not find its own words.
      input = replace(replace(jsonencode(schedule.input), "\\u003c", "<"), "\\u003e", ">")
    })
  }
}

module "ingress" {
  source         = "./modules/ingress"
  prefix         = local.prefix
  region         = local.environment.region
  record_streams = module.project.record_streams
  queues         = module.project.queues
  mappings       = module.project.mappings
  drop_pattern   = module.project.drop_pattern
  api            = module.project.api
  functions      = module.lambdas.functions
  dead_letters   = module.lambdas.dead_letters.arn
  keys           = local.keys
  log_days       = local.environment.retention.logs
  network        = local.environment.network
}

module "pipe_role" {
  source   = "./modules/role"
  for_each = local.piped
  name     = "${each.value.name}-pipe"
  folder   = "${local.root}/config/roles"
  spec     = local.roles["${each.value.name}-pipe"]
  arns     = local.key_arns
}

module "pipes" {
  source       = "./modules/pipes"
  dead_letters = module.lambdas.dead_letters.arn
  pipes = {
    for key, stream in local.piped : stream.name => {
      stream_arn = module.ingress.stream_arns[key]
      queue_arn  = module.ingress.queue_arns[stream.name]
      role_arn   = module.pipe_role[key].arn
    }
  }
}

module "proxy_role" {
  source   = "./modules/role"
  for_each = module.project.rds_proxies
  name     = each.value.name
  folder   = "${local.root}/config/roles"
  spec     = local.roles[each.value.name]
  arns     = local.key_arns
}

module "rds_proxy" {
  source      = "./modules/rds_proxy"
  network     = local.environment.network
  jobs_groups = module.glue_jobs.security_groups
  proxies = {
    for key, proxy in module.project.rds_proxies : key => merge(proxy, {
      role_arn   = module.proxy_role[key].arn
      secret_arn = module.glue_jobs.secrets[proxy.secret]
    })
  }
}

locals {
  piped = { for key, stream in module.project.record_streams : key => stream if stream.queued }
}

module "alerts" {
  source            = "./modules/alerts"
  prefix            = local.prefix
  environment       = var.environment
  account           = local.environment.account
  topic             = module.project.topic.name
  alerts            = local.environment.alerts
  slack             = lookup(module.lambdas.functions, "notify_slack", null)
  state_machine_arn = module.project.state_machine.arn
  jobs              = module.glue_jobs.names
  extract_logs      = module.glue_jobs.extract_logs
  silver_logs       = module.glue_jobs.silver_logs
  dead_letters      = module.lambdas.dead_letters.name
  workgroup         = local.environment.warehouse.workgroup
  budget_usd        = local.environment.budget_usd
  keys              = local.keys
}
