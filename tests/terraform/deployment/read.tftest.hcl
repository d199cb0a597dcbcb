# modules/deployment by itself, without any provider: test_stale.py gives it packages that fit and packages that do not.
run "deployment_json_is_read" {
  command = plan

  assert {
    condition     = output.read.environment.name == var.environment
    error_message = "The deployment is that of the environment."
  }
}
