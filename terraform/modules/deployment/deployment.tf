# What `make package` has derived from config/, and whether it still fits the files that it was derived from.
locals {
  read = jsondecode(file("${var.packages}/${var.environment}/deployment.json"))

  # An older deployment.json may lack what is looked for here; then it is out of date, which the preconditions tell.
  name     = try(local.read.environment.name, "")
  patterns = try(local.read.packed.patterns, [])
  paths    = sort(setunion([], [for pattern in local.patterns : fileset(var.root, pattern)]...))
  digest   = sha256(join("\n", [for path in local.paths : "${path} ${filesha256("${var.root}/${path}")}"]))
  current  = try(local.read.packed.digest, "") == local.digest
}
