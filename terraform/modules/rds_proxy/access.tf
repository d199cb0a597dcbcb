# Who speaks to a proxy: the jobs. To whom a proxy speaks: the databases of the same VPC.
locals {
  ports    = { POSTGRESQL = 5432, MYSQL = 3306 }
  networks = { for network in var.network[*] : network.vpc => network if length(var.proxies) > 0 }
  doors = {
    for pair in setproduct(keys(local.networks), distinct([for proxy in var.proxies : proxy.engine_family])) :
    join(" ", pair) => { vpc = pair[0], port = local.ports[pair[1]] }
  }
  groups = [for group in aws_security_group.proxies : group.id]
}

resource "aws_security_group" "proxies" {
  #checkov:skip=CKV2_AWS_5: attached to the proxies in proxies.tf, which this check does not know
  for_each    = local.networks
  name        = "${var.prefix}-rds-proxies"
  description = "RDS proxies before the databases of sources."
  vpc_id      = each.key

  lifecycle {
    # A proxy keeps its group until it has the other one.
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "jobs" {
  for_each                     = local.doors
  security_group_id            = aws_security_group.proxies[each.value.vpc].id
  description                  = "Glue jobs."
  referenced_security_group_id = var.jobs_groups[each.value.vpc]
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

data "aws_vpc" "this" {
  for_each = local.networks
  id       = each.key
}

resource "aws_vpc_security_group_egress_rule" "databases" {
  for_each          = local.doors
  security_group_id = aws_security_group.proxies[each.value.vpc].id
  description       = "The databases."
  cidr_ipv4         = data.aws_vpc.this[each.value.vpc].cidr_block
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}
