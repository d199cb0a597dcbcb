locals {
  environment = local.deployment.environment
  prefix      = local.environment.prefix
  entrances   = local.deployment.entrances
  keys        = module.lake.keys

  # What the placeholders in the roles' permissions stand for.
  key_arns = {
    data_key      = local.keys.data
    secrets_key   = local.keys.secrets
    bookmarks_key = local.keys.bookmarks
    alerts_key    = local.keys.alerts
  }
  arns = merge(local.key_arns, {
    admin_secret  = module.warehouse.admin_secret
    workgroup_arn = module.warehouse.workgroup_arn
    namespace_arn = try(module.warehouse.namespace.arn, "arn:aws:redshift-serverless:${local.environment.region}:${local.environment.account}:namespace/none")
  })
}

module "lake" {
  source                 = "./modules/lake"
  prefix                 = local.prefix
  region                 = local.environment.region
  account                = local.environment.account
  key_policies           = local.deployment.key_policies
  security_configuration = local.deployment.security_configuration
  buckets                = local.deployment.buckets
  databases              = local.deployment.databases
  retention              = local.environment.retention
  data_events            = local.environment.data_events
  analysts               = local.environment.analysts.roles
  granter                = module.lambdas.roles[local.deployment.grant_tables_role]
  gold_readers           = { for name in local.deployment.gold_readers : name => module.lambdas.roles[name] }
  crawler_roles          = { for zone, role in module.crawler_role : zone => role.arn }
  protected              = local.environment.protected
}

module "glue_jobs" {
  source                 = "./modules/glue_jobs"
  prefix                 = local.prefix
  region                 = local.environment.region
  root                   = local.root
  packages               = local.packages
  project_file           = "${local.packages}/${var.environment}/project.json"
  glue_version           = var.glue_version
  jobs                   = local.deployment.jobs
  arns                   = local.arns
  artifacts              = module.lake.buckets.artifacts
  keys                   = local.keys
  security_configuration = module.lake.security_configuration
  secrets                = local.deployment.secrets
  network                = local.environment.network
  log_days               = local.environment.retention.logs
  protected              = local.environment.protected
}

module "crawler_role" {
  source   = "./modules/role"
  for_each = local.deployment.crawler_roles
  role     = each.value
  arns     = local.key_arns
}

module "crawlers" {
  source                 = "./modules/crawlers"
  crawlers               = local.deployment.crawlers
  role_arns              = { for zone, role in module.crawler_role : zone => role.arn }
  security_configuration = module.lake.security_configuration
}

module "lambdas" {
  source               = "./modules/lambdas"
  packages             = local.packages
  prefix               = local.prefix
  lambdas              = local.deployment.lambdas
  arns                 = local.arns
  keys                 = local.keys
  dead_letters_policy  = local.deployment.queue_policies["${local.prefix}-dead-letters"]
  reserved_concurrency = local.environment.reserved_concurrency
  log_days             = local.environment.retention.logs
}

module "warehouse" {
  source          = "./modules/warehouse"
  root            = local.root
  prefix          = local.prefix
  region          = local.environment.region
  warehouse       = local.environment.warehouse
  copy_role       = local.deployment.copy_role
  arns            = local.key_arns
  keys            = local.keys
  network         = local.environment.network
  results         = "s3://${module.lake.buckets.logs}/athena/"
  athena_scan_gib = local.environment.athena_scan_gib
  databases       = module.lake.databases
  protected       = local.environment.protected
}

module "state_machine" {
  source         = "./modules/state_machine"
  prefix         = local.prefix
  state_machine  = local.deployment.state_machine
  scheduler_role = local.deployment.scheduler_role
  arns           = local.arns
  schedules      = merge(local.deployment.schedules, local.deployment.snapshots)
  keys           = local.keys
  topic_arn      = module.alerts.topic_arn
  dead_letters   = module.lambdas.dead_letters.arn
  log_days       = local.environment.retention.logs
}

module "entrances" {
  source         = "./modules/entrances"
  prefix         = local.prefix
  region         = local.environment.region
  account        = local.environment.account
  record_streams = local.entrances.record_streams
  queues         = local.entrances.queues
  queue_policies = local.deployment.queue_policies
  mappings       = local.entrances.mappings
  drop_rules     = local.entrances.drop_rules
  apis           = local.entrances.apis
  functions      = module.lambdas.functions
  dead_letters   = module.lambdas.dead_letters.arn
  keys           = local.keys
  log_days       = local.environment.retention.logs
  network        = local.environment.network
}

locals {
  piped = { for key, stream in local.entrances.record_streams : key => stream if stream.pipe_role != null }
}

module "pipe_role" {
  source   = "./modules/role"
  for_each = local.piped
  role     = each.value.pipe_role
  arns     = local.key_arns
}

module "pipes" {
  source       = "./modules/pipes"
  dead_letters = module.lambdas.dead_letters.arn
  pipes = {
    for key, stream in local.piped : stream.name => {
      stream_arn = module.entrances.stream_arns[key]
      queue_arn  = module.entrances.queue_arns[stream.name]
      role_arn   = module.pipe_role[key].arn
    }
  }
}

module "proxy_role" {
  source   = "./modules/role"
  for_each = local.deployment.rds_proxies
  role     = each.value.role
  arns     = local.key_arns
}

module "rds_proxy" {
  source      = "./modules/rds_proxy"
  prefix      = local.prefix
  network     = local.environment.network
  jobs_groups = module.glue_jobs.security_groups
  proxies = {
    for key, proxy in local.deployment.rds_proxies : key => merge(proxy, {
      role_arn   = module.proxy_role[key].arn
      secret_arn = module.glue_jobs.secrets[proxy.secret]
    })
  }
}

module "alerts" {
  source            = "./modules/alerts"
  prefix            = local.prefix
  environment       = var.environment
  region            = local.environment.region
  topic             = local.deployment.topic
  alerts            = local.environment.alerts
  slack             = one([for name, function in local.deployment.lambdas : module.lambdas.functions[name] if function.folder == "notify_slack"])
  state_machine_arn = local.deployment.state_machine.arn
  jobs              = module.glue_jobs.names
  extract_logs      = module.glue_jobs.extract_logs
  silver_logs       = module.glue_jobs.silver_logs
  dead_letters      = module.lambdas.dead_letters.name
  workgroup         = local.environment.warehouse.workgroup
  budget_usd        = local.environment.budget_usd
  keys              = local.keys
}
