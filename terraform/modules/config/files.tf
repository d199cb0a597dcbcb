# What is declared in config/, crawlers/, sql/ and the folders of entry scripts, as it is written there.
locals {
  environment_file = "${var.root}/config/environments/${var.environment}.yaml"
  sources = {
    for path in fileset("${var.root}/config/sources", "*.yaml") :
    trimsuffix(path, ".yaml") => yamldecode(file("${var.root}/config/sources/${path}"))
  }
  crawlers = {
    for path in fileset("${var.root}/crawlers", "*.yaml") :
    trimsuffix(path, ".yaml") => yamldecode(file("${var.root}/crawlers/${path}"))
  }
  # Everything that `make package` validates and packs; a digest of it tells whether that was done since the last change.
  declared = sort(concat(
    [for path in fileset(var.root, "config/{environments,quality,roles,sources}/**/*.yaml") : path],
    [for path in fileset(var.root, "sql/gold/*.sql") : path],
    [for path in fileset(var.root, "{headwater,glue_jobs,lambdas}/**/*.py") : path],
    ["requirements.lock"],
  ))
}
