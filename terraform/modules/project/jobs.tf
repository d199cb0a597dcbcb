locals {
  extract_jobs = {
    for name, source in var.sources : "${local.prefix}-${name}-extract" => merge(source.job, {
      script = "extract"
      source = name
      flex   = false
      # One run of a source at a time: its bookmark has one owner.
      max_concurrent_runs = 1
    })
  }
  default_stage = { worker_type = "G.1X", workers = 2, timeout_minutes = 120, flex = false }
  stage_jobs = {
    for stage in setsubtract(var.scripts, ["extract"]) : "${local.prefix}-${stage}" =>
    merge(lookup(var.environment.stages, stage, local.default_stage), {
      script = stage
      source = null
      # Gold is one job for all sources; the others run for as many sources side by side as the state machine takes at once.
      max_concurrent_runs = contains(["gold", "maintain"], stage) ? 1 : 20
    })
  }
  jobs = {
    for name, job in merge(local.extract_jobs, local.stage_jobs) : name => merge(job, {
      script_key = "glue_jobs/${job.script}.py"
      connection = try(local.connections[job.source], null)
      arguments = {
        "--project"                         = local.project_uri
        "--mode"                            = "incremental"
        "--window"                          = "-"
        "--job-bookmark-option"             = job.script == "extract" ? "job-bookmark-enable" : "job-bookmark-disable"
        "--datalake-formats"                = "delta"
        "--extra-py-files"                  = "s3://${local.buckets.artifacts}/packages/headwater.zip"
        "--extra-jars"                      = "s3://${local.buckets.artifacts}/packages/deequ-2.0.7-spark-3.5.jar"
        "--additional-python-modules"       = "s3://${local.buckets.artifacts}/packages/headwater.gluewheels.zip"
        "--python-modules-installer-option" = "--no-index"
        "--enable-auto-scaling"             = "true"
        "--enable-metrics"                  = "true"
        "--enable-observability-metrics"    = "true"
        "--enable-spark-ui"                 = "true"
        "--spark-event-logs-path"           = "s3://${local.buckets.logs}/spark/${name}/"
        "--TempDir"                         = "s3://${local.buckets.logs}/temp/${name}/"
        "--custom-logGroup-prefix"          = "/aws-glue/jobs/${name}"
      }
    })
  }
}
