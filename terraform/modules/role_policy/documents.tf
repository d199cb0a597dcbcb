# A role's file, what it shares with others, and what these share with still others.
locals {
  own     = yamldecode(templatefile("${var.folder}/${var.role}.yaml", var.values))
  also    = compact([lookup(local.own, "also", "")])
  shared  = [for name in local.also : yamldecode(templatefile("${var.folder}/shared/${name}.yaml", var.values))]
  further = compact([for base in local.shared : lookup(base, "also", "")])
  distant = [for name in local.further : yamldecode(templatefile("${var.folder}/shared/${name}.yaml", var.values))]

  statements = merge([for base in concat(local.distant, local.shared, [local.own]) : base.statements]...)
  applicable = {
    for sid, statement in local.statements : sid => statement
    if !can(statement.when) || contains(var.traits, try(statement.when, ""))
  }
}

output "trust" {
  description = "The trust policy, as JSON."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [merge(
      { Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = local.own.services } },
      lookup(local.own, "own_account", false) ? { Condition = { StringEquals = { "aws:SourceAccount" = var.values.account } } } : {}
    )]
  })
}

output "permissions" {
  description = "The permissions policy, as JSON."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for sid, statement in local.applicable : merge(
        { Sid = sid, Effect = "Allow", Action = statement.actions, Resource = statement.resources },
        can(statement.conditions) ? { Condition = statement.conditions } : {}
      )
    ]
  })
}
