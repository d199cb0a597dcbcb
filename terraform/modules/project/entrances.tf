# What records, events and files come in by, as headwater/deploy/entrances.py derives it.
locals {
  files   = { for name, source in var.sources : name => source if source.kind == "files" }
  pushed  = { for name, source in local.files : name => source if source.entrance.kind == "http" }
  dropped = { for name, source in local.files : name => source if source.entrance.kind != "http" }
  received = merge([
    for name, source in var.sources : {
      for key, stream in source.streams : "${name}.${key}" => merge(stream.delivery, {
        source          = name
        name            = "${local.prefix}-${name}-${key}"
        retention_hours = stream.retention_hours
        window_seconds  = coalesce(try(var.environment.sources[name].window_seconds, null), stream.delivery.window_seconds)
      })
    } if source.kind == "kinesis"
  ]...)
  record_streams = {
    for key, stream in local.received : key => {
      name            = stream.name
      arn             = "arn:aws:kinesis:${local.place}:stream/${stream.name}"
      retention_hours = stream.retention_hours
      queued          = stream.kind == "queue"
    }
  }

  drops_name = "${local.prefix}-drops"
  drops_arn  = "arn:aws:sqs:${local.place}:${local.drops_name}"
  # Visibility: six times what the functions may take, as SQS advises.
  queue_defaults = { visibility_seconds = 720, retention_seconds = 345600 }
  queues = merge(
    { for key, stream in local.received : stream.name => merge(local.queue_defaults, { max_receive_count = stream.max_receive_count }) if stream.kind == "queue" },
    { for name in toset(length(local.dropped) > 0 ? [local.drops_name] : []) : name => merge(local.queue_defaults, { max_receive_count = 5 }) },
  )
  mappings = merge(
    {
      for key, stream in local.received : (stream.kind == "queue" ? "arn:aws:sqs:${local.place}:${stream.name}" : local.record_streams[key].arn) => {
        folder         = "receive_records"
        batch_size     = coalesce(stream.batch_size, stream.kind == "queue" ? 1000 : 10000)
        window_seconds = stream.window_seconds
        shards         = stream.kind != "queue"
      }
    },
    # A hundred files that are dropped together start one run.
    {
      for arn in toset(length(local.dropped) > 0 ? [local.drops_arn] : []) : arn => {
        folder     = "start_on_drop"
        batch_size = 1000
        window_seconds = min([
          for name, source in local.dropped : coalesce(try(var.environment.sources[name].window_seconds, null), source.entrance.window_seconds)
        ]...)
        shards = false
      }
    },
  )
  drop_prefixes = flatten([for source in local.dropped : [for stream in source.streams : stream.prefix]])
  drop_pattern = length(local.dropped) == 0 ? null : jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = ["${local.prefix}-landing"] }
      object = { key = [for prefix in local.drop_prefixes : { prefix = prefix }] }
    }
  })
  api = length(local.pushed) == 0 ? null : {
    name             = "${local.prefix}-events"
    route            = "POST /events/{source}/{stream}"
    calls_per_second = sum([for source in local.pushed : source.entrance.calls_per_second])
    burst            = sum([for source in local.pushed : source.entrance.burst])
  }
  sender_secrets = [for source in local.pushed : "${local.prefix}/${source.secret}"]
}
