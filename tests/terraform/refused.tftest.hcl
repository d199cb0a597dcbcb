# Plans that must not be: each validation refuses what it is there for.
mock_provider "aws" {}

run "unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "production"
  }

  expect_failures = [var.environment]
}

run "old_glue_is_refused" {
  command = plan

  variables {
    environment  = "dev"
    glue_version = "4.0"
  }

  expect_failures = [var.glue_version]
}

run "functions_that_could_never_run_are_refused" {
  command = plan

  variables {
    environment          = "dev"
    reserved_concurrency = 0
  }

  expect_failures = [var.reserved_concurrency]
}
