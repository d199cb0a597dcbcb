# Everything that Terraform derives from config/, without a provider: evaluated by tests/terraform/test_parity.py.
variable "root" {
  description = "The repository's folder."
  type        = string
}

variable "environment" {
  description = "Name of a file in config/environments."
  type        = string
}

variable "arns" {
  description = "What only AWS knows."
  type        = map(string)
}

module "config" {
  source      = "../../../terraform/modules/config"
  root        = var.root
  environment = var.environment
}

module "project" {
  source      = "../../../terraform/modules/project"
  environment = module.config.environment
  sources     = module.config.sources
  crawlers    = module.config.crawlers
  gold        = module.config.gold
  scripts     = module.config.scripts
  handlers    = module.config.handlers
}

module "policy" {
  source   = "../../../terraform/modules/role_policy"
  for_each = module.project.roles
  folder   = "${var.root}/config/roles"
  role     = each.value.file
  values   = merge(each.value.values, var.arns)
  traits   = each.value.traits
}

output "project" {
  description = "All that the project module derives."
  value       = module.project
}

output "digest" {
  description = "The digest of what is packed."
  value       = module.config.digest
}

output "definition" {
  description = "The state machine's definition."
  value       = templatefile("${var.root}/step_functions/pipeline.asl.json", module.project.state_machine.values)
}

output "policies" {
  description = "Trust and permissions of every role."
  value       = { for name, policy in module.policy : name => { trust = policy.trust, permissions = policy.permissions } }
}
