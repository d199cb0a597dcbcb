# Environments planned and applied with the provider mocked: what Terraform asks for, not what AWS makes of it.
mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_data "aws_vpc" {
    defaults = { cidr_block = "10.0.0.0/16" }
  }
}

run "dev_is_applied" {
  command = apply

  variables {
    environment = "dev"
  }

  assert {
    condition     = output.state_machine_arn != "" && length(output.secrets) > 0
    error_message = "An environment has a state machine, and secrets that wait for their values."
  }

  assert {
    condition     = alltrue([for job in module.project.jobs : job.arguments["--datalake-formats"] == "delta"])
    error_message = "A job lacks Delta."
  }
}

run "prod_is_applied_with_all_that_it_asks_for" {
  command = apply

  variables {
    environment  = "prod"
    tables_exist = true
  }

  assert {
    condition     = length(module.project.schedules) >= 2
    error_message = "prod has schedules."
  }

  assert {
    condition     = alltrue([for name in keys(module.project.connections) : contains(keys(module.config.sources), name)])
    error_message = "A connection belongs to a source."
  }
}

run "analysts_see_nothing_before_the_tables_are_there" {
  command = plan

  variables {
    environment  = "prod"
    tables_exist = false
  }

  assert {
    condition     = module.project.environment.analysts.hidden_columns["customers"] == tolist(["first_name", "last_name", "email"])
    error_message = "prod hides the customers' names from analysts."
  }
}
