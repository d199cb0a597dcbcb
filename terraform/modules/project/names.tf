locals {
  prefix   = var.environment.prefix
  region   = var.environment.region
  account  = var.environment.account
  zones    = ["bronze", "silver", "gold", "quarantine"]
  purposes = concat(["raw", "lake", "artifacts", "logs"], contains(local.kinds, "files") ? ["landing"] : [])

  buckets   = { for purpose in local.purposes : purpose => "${local.prefix}-${purpose}" }
  databases = { for zone in local.zones : zone => "${replace(local.prefix, "-", "_")}_${zone}" }

  project_uri       = "s3://${local.buckets.artifacts}/project.json"
  topic             = "${local.prefix}-alerts"
  topic_arn         = "arn:aws:sns:${local.region}:${local.account}:${local.topic}"
  state_machine     = "${local.prefix}-pipeline"
  state_machine_arn = "arn:aws:states:${local.region}:${local.account}:stateMachine:${local.state_machine}"
  place             = "${local.region}:${local.account}"
  glue              = "arn:aws:glue:${local.region}:${local.account}"
}
