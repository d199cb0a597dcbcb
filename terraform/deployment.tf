# What is declared, as `make package` has derived it: names, arguments, sizes, roles. A source added to config/ is in every module.
locals {
  root       = abspath("${path.root}/..")
  packages   = "${local.root}/build/packages"
  deployment = module.deployment.read
}

module "deployment" {
  source      = "./modules/deployment"
  root        = local.root
  packages    = local.packages
  environment = var.environment
}
