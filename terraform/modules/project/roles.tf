# Every role of the environment: its file in config/roles, what the file's placeholders stand for, and its traits. ARNs that
# only AWS knows (of keys, of the workgroup) are added where the role is made.
locals {
  common_values = merge(local.buckets, {
    landing = "${local.prefix}-landing"
    prefix  = local.prefix
    region  = local.region
    account = local.account
  })

  job_arns = [for job in keys(local.jobs) : "${local.glue}:job/${job}"]
  # Prefixes of the landing bucket by source.
  drops = {
    for name, source in var.sources : name => [for stream in source.streams : stream.prefix] if source.kind == "files"
  }

  job_roles = {
    for name, job in local.jobs : name => {
      file = job.script
      values = {
        job        = name
        script     = job.script
        source     = coalesce(job.source, "-")
        secret     = coalesce(try(var.sources[job.source].secret, null), "-")
        subnet     = try(var.environment.network.subnets[0], "-")
        job_arns   = jsonencode(local.job_arns)
        drops      = jsonencode([for prefix in try(local.drops[job.source], []) : "arn:aws:s3:::${local.prefix}-landing/${prefix}*"])
        drop_lists = jsonencode([for prefix in try(local.drops[job.source], []) : "${prefix}*"])
      }
      traits = compact([
        try(var.sources[job.source].kind, ""),
        try(var.sources[job.source].auth.kind, "") == "oauth" ? "rotates" : "",
        # The keys of those who push are for the Lambda that checks them.
        try(var.sources[job.source].secret, null) != null && try(var.sources[job.source].entrance.kind, "") != "http" ? "secret" : "",
        job.connection != null ? "network" : "",
      ])
    }
  }
  crawler_roles = {
    for zone in local.zones : "${local.prefix}-crawl-${zone}" => {
      file   = "crawler"
      values = { zone = zone, database = local.databases[zone], role = "${local.prefix}-crawl-${zone}" }
      traits = []
    }
  }
  lambda_roles = {
    for name, function in local.lambdas : name => {
      file = function.folder
      values = {
        function       = name
        secret         = coalesce(var.environment.alerts.slack_secret, "-")
        sender_secrets = jsonencode([for secret in local.sender_secrets : "arn:aws:secretsmanager:${local.place}:secret:${secret}-??????"])
        pushed         = jsonencode(flatten([for source in local.pushed : [for stream in source.streams : "arn:aws:s3:::${local.prefix}-landing/${stream.prefix}*"]]))
        streams        = jsonencode([for stream in local.record_streams : stream.arn if !stream.queued]) # a queued one is read by its pipe
        queues         = jsonencode([for key, stream in local.record_streams : "arn:aws:sqs:${local.place}:${stream.name}" if stream.queued])
        received       = jsonencode(distinct([for stream in local.received : "arn:aws:s3:::${local.buckets.raw}/${stream.source}/*"]))
        received_data  = jsonencode(distinct([for stream in local.received : "arn:aws:s3:::${local.buckets.raw}/${stream.source}/*/data/*"]))
        arrivals       = jsonencode([for name, source in local.files : "arn:aws:s3:::${local.buckets.raw}/${name}/*/arrivals/*" if source.entrance.kind == "drop"])
      }
      traits = compact([
        anytrue([for stream in local.record_streams : stream.queued]) ? "queued" : "",
        anytrue([for stream in local.record_streams : !stream.queued]) ? "direct" : "",
      ])
    }
  }
  pipe_roles = {
    for key, stream in local.record_streams : "${stream.name}-pipe" => {
      file   = "pipe"
      values = { stream_arn = stream.arn, queue_arn = "arn:aws:sqs:${local.place}:${stream.name}" }
      traits = []
    } if stream.queued
  }
  proxy_roles = {
    for name, proxy in local.proxies : proxy.name => {
      file   = "rds_proxy"
      values = { secret = var.sources[proxy.source].secret }
      traits = []
    }
  }
  other_roles = {
    (local.state_machine) = {
      file = "state_machine"
      values = {
        # Maintain starts by its own schedule, or by hand.
        job_arns     = jsonencode([for name, job in local.jobs : "${local.glue}:job/${name}" if job.script != "maintain"])
        crawler_arns = jsonencode([for crawler in keys(local.crawler_specs) : "${local.glue}:crawler/${crawler}"])
        lambda_arns = jsonencode([
          for name, function in local.lambdas : "arn:aws:lambda:${local.region}:${local.account}:function:${name}" if function.by_state_machine
        ])
      }
      traits = []
    }
    "${local.prefix}-scheduler" = { file = "scheduler", values = {}, traits = length(local.maintenance) > 0 ? ["maintain"] : [] }
    "${local.prefix}-copy"      = { file = "copy", values = {}, traits = contains(local.kinds, "redshift") ? ["redshift"] : [] }
  }
  roles = {
    for name, role in merge(local.job_roles, local.crawler_roles, local.lambda_roles, local.pipe_roles, local.proxy_roles, local.other_roles) : name => merge(role, {
      values = merge(local.common_values, role.values)
    })
  }
}
