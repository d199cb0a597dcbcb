# Pools of connections before the databases of sources that have few.
resource "aws_db_proxy" "this" {
  for_each               = var.proxies
  name                   = each.value.name
  engine_family          = each.value.engine_family
  role_arn               = each.value.role_arn
  require_tls            = true
  vpc_subnet_ids         = var.network.subnets
  vpc_security_group_ids = local.groups

  auth {
    auth_scheme = "SECRETS"
    iam_auth    = "DISABLED"
    secret_arn  = each.value.secret_arn
  }
}

resource "aws_db_proxy_default_target_group" "this" {
  for_each      = aws_db_proxy.this
  db_proxy_name = each.value.name

  connection_pool_config {
    max_connections_percent   = 50
    connection_borrow_timeout = 120
  }
}

resource "aws_db_proxy_target" "this" {
  for_each               = aws_db_proxy_default_target_group.this
  db_proxy_name          = each.value.db_proxy_name
  target_group_name      = each.value.name
  db_instance_identifier = var.proxies[each.key].instance
}
