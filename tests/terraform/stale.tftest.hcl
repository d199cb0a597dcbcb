# The shortest plan there is: refused by test_plans.py whenever deployment.json does not fit the files.
mock_provider "aws" {}

run "dev_is_planned" {
  command = plan

  variables {
    environment = "dev"
  }
}
