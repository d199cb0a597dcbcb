# What is in the warehouse is made by migrations that a Lambda runs as its administrator, whoever applies: once made, nothing here
# runs again until the input says something else.
resource "aws_lambda_invocation" "migrate_warehouse" {
  function_name = module.lambdas.functions[local.deployment.migrations.function].name
  input         = jsonencode(merge(local.deployment.migrations.input, { admin_secret = module.warehouse.admin_secret }))
}
