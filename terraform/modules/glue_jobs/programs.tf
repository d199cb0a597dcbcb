# What the jobs run: packed by `make package`, the same bytes from the same files.
locals {
  scripts = toset([for job in var.jobs : job.script_key])
  programs = merge(
    { for key in local.scripts : key => "${var.root}/${key}" },
    { for name in fileset(var.packages, "glue/*") : "packages/${basename(name)}" => "${var.packages}/${name}" },
    { "project.json" = var.project_file },
  )
}

resource "aws_s3_object" "program" {
  for_each               = local.programs
  bucket                 = var.artifacts
  key                    = each.key
  source                 = each.value
  source_hash            = filesha256(each.value)
  server_side_encryption = "aws:kms"
  kms_key_id             = var.keys.data
}
