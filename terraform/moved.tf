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

# What these statements made stays; migrate_warehouse takes it over.
removed {
  from = module.warehouse.aws_redshiftdata_statement.schemas

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.warehouse.aws_redshiftdata_statement.tables

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.warehouse.aws_redshiftdata_statement.views

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.warehouse.aws_redshiftdata_statement.roles

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.warehouse.aws_redshiftdata_statement.grants

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.warehouse.aws_redshiftdata_statement.users

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.warehouse.aws_redshiftdata_statement.memberships

  lifecycle {
    destroy = false
  }
}

# What analysts were granted stays; grant_tables goes on with it.
removed {
  from = module.lake.aws_lakeformation_data_cells_filter.analysts

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.lake.aws_lakeformation_permissions.analysts_rows

  lifecycle {
    destroy = false
  }
}
