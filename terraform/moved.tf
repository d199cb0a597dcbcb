# Addresses of stacks that were applied before: a renamed resource is moved, not made again.
moved {
  from = module.ingress
  to   = module.entrances
}

# Whether deployment.json fits the files is told by module.deployment, before anything is planned.
removed {
  from = terraform_data.packed

  lifecycle {
    destroy = false
  }
}
