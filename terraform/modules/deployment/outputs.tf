output "read" {
  description = "deployment.json of the environment, as headwater/deploy/terraform.py derives it: refused unless it fits the files."
  value       = local.read

  precondition {
    condition     = local.name == var.environment
    error_message = "build/packages/${var.environment}/deployment.json is of environment '${local.name}': run `make package ENV=${var.environment}` first."
  }

  precondition {
    condition     = local.current
    error_message = "config/, crawlers/, step_functions/, sql/gold/, the lock or the code has changed since it was packed: run `make package ENV=${var.environment}` first."
  }
}
