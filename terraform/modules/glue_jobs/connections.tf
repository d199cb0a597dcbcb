# The way into the VPC for the sources that are there. Addresses and passwords are in the sources' secrets.
locals {
  # One for each subnet: a run takes the first whose zone is well.
  ways_in = merge([
    for network in var.network[*] : merge([
      for job in var.jobs : { for index, name in job.connections : name => { source = job.source, vpc = network.vpc, subnet = network.subnets[index] } }
    ]...)
  ]...)
  subnets = toset([for way in local.ways_in : way.subnet])
  # At most one, by VPC.
  networks = { for network in var.network[*] : network.vpc => network if length(local.ways_in) > 0 }
}

data "aws_subnet" "jobs" {
  for_each = local.subnets
  id       = each.value
}

data "aws_vpc" "jobs" {
  for_each = local.networks
  id       = each.key
}

resource "aws_glue_connection" "this" {
  for_each        = local.ways_in
  name            = each.key
  description     = "Where the Extract job of ${each.value.source} reaches its source."
  connection_type = "NETWORK"

  physical_connection_requirements {
    availability_zone      = data.aws_subnet.jobs[each.value.subnet].availability_zone
    security_group_id_list = [aws_security_group.jobs[each.value.vpc].id]
    subnet_id              = each.value.subnet
  }
}

resource "aws_security_group" "jobs" {
  #checkov:skip=CKV2_AWS_5: attached by the Glue connections above, which this check does not know
  for_each    = local.networks
  name        = "${var.prefix}-jobs"
  description = "Glue jobs that reach sources within the VPC."
  vpc_id      = each.key
}

# Glue asks for it: the workers of a job speak to each other.
resource "aws_vpc_security_group_ingress_rule" "workers" {
  #checkov:skip=CKV_AWS_24: from the group's own members alone, nobody else
  #checkov:skip=CKV_AWS_25: from the group's own members alone, nobody else
  #checkov:skip=CKV_AWS_260: from the group's own members alone, nobody else
  for_each                     = aws_security_group.jobs
  security_group_id            = each.value.id
  description                  = "Workers of the same job."
  referenced_security_group_id = each.value.id
  ip_protocol                  = "tcp"
  from_port                    = 0
  to_port                      = 65535
}

resource "aws_vpc_security_group_egress_rule" "inner" {
  for_each          = aws_security_group.jobs
  security_group_id = each.value.id
  description       = "Databases, brokers, endpoints and the other workers, all within the VPC."
  cidr_ipv4         = data.aws_vpc.jobs[each.key].cidr_block
  ip_protocol       = "tcp"
  from_port         = 0
  to_port           = 65535
}

data "aws_prefix_list" "s3" {
  for_each = local.networks
  name     = "com.amazonaws.${var.region}.s3"
}

# Without endpoints the services of AWS have public addresses, which a NAT gateway leads to.
resource "aws_vpc_security_group_egress_rule" "services" {
  for_each          = { for vpc, group in aws_security_group.jobs : vpc => group if !local.networks[vpc].endpoints }
  security_group_id = each.value.id
  description       = "AWS services, through a NAT gateway."
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each          = aws_security_group.jobs
  security_group_id = each.value.id
  description       = "S3, through its endpoint."
  prefix_list_id    = data.aws_prefix_list.s3[each.key].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
