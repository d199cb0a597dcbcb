# What is declared: config/, crawlers/, sql/ and the entry scripts. A source added there is in every module below.
locals {
  root     = abspath("${path.root}/..")
  packages = "${local.root}/build/packages"
  packed   = try(jsondecode(file("${local.packages}/${var.environment}/packed.json")), { digest = "" })
}

module "config" {
  source      = "./modules/config"
  root        = local.root
  environment = var.environment
}

module "project" {
  source      = "./modules/project"
  environment = module.config.environment
  sources     = module.config.sources
  crawlers    = module.config.crawlers
  gold        = module.config.gold
  scripts     = module.config.scripts
  handlers    = module.config.handlers
}

# Terraform drops keys that it does not know; `make package` refuses them. So nothing is planned that it has not seen.
resource "terraform_data" "packed" {
  input = module.config.digest

  lifecycle {
    precondition {
      condition     = local.packed.digest == module.config.digest
      error_message = "config/ or the code has changed since it was packed: run `make package ENV=${var.environment}` first."
    }
  }
}
