# The jobs' ways to AWS without a way to the internet.
locals {
  endpoint_networks = { for network in var.network[*] : network.vpc => network if network.endpoints }
  services          = ["glue", "kms", "logs", "monitoring", "redshift-data", "secretsmanager", "sts"]
  endpoints = {
    for pair in setproduct(keys(local.endpoint_networks), local.services) : pair[1] => { vpc = pair[0], service = pair[1] }
  }
}

resource "aws_vpc_endpoint" "s3" {
  for_each          = local.endpoint_networks
  vpc_id            = each.key
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = each.value.route_tables

  # What others have signed may be fetched (Snowflake hands out its results so, and Glue its own programs); all else stays in
  # the account: a job that is talked into it cannot write what it has read to somebody's bucket.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:*"
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceAccount" = var.account } }
      },
      {
        Sid       = "FetchFromOthers"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:GetObject"
        Resource  = "*"
      }
    ]
  })
}

resource "aws_vpc_endpoint" "this" {
  for_each            = local.endpoints
  vpc_id              = each.value.vpc
  service_name        = "com.amazonaws.${var.region}.${each.value.service}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = local.endpoint_networks[each.value.vpc].subnets
  security_group_ids  = [aws_security_group.endpoints[each.value.vpc].id]
}

resource "aws_security_group" "endpoints" {
  for_each    = local.endpoint_networks
  name        = "${var.prefix}-endpoints"
  description = "Endpoints of AWS services."
  vpc_id      = each.key
}

data "aws_vpc" "this" {
  for_each = local.endpoint_networks
  id       = each.key
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each          = aws_security_group.endpoints
  security_group_id = each.value.id
  description       = "Everything within the VPC."
  cidr_ipv4         = data.aws_vpc.this[each.key].cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
