# Environment local, applied with all of the provider mocked: the texts that it makes up are told apart from what is declared.
mock_provider "aws" {}

run "local_is_applied" {
  command = apply

  variables {
    environment = "local"
  }
}
