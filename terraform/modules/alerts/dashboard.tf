locals {
  widgets = [
    { title = "Runs", metrics = [for name in ["ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"] : ["AWS/States", name, "StateMachineArn", var.state_machine_arn]], stat = "Sum" },
    { title = "Duration of runs, ms", metrics = [["AWS/States", "ExecutionTime", "StateMachineArn", var.state_machine_arn]], stat = "Maximum" },
    { title = "Rows extracted", metrics = [for source in keys(var.extract_logs) : [local.namespace, "extracted", "source", source]], stat = "Sum" },
    { title = "Rows quarantined", metrics = [for source in keys(var.extract_logs) : [local.namespace, "quarantined", "source", source]], stat = "Sum" },
    { title = "Driver memory used by jobs", metrics = [for job in var.jobs : ["Glue", "glue.driver.jvm.heap.usage", "JobName", job, "JobRunId", "ALL", "Type", "gauge"]], stat = "Maximum" },
    { title = "Redshift capacity, RPU seconds", metrics = [["AWS/Redshift-Serverless", "ComputeSeconds", "Workgroup", var.workgroup]], stat = "Sum" },
    { title = "Dead letters", metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_letters]], stat = "Maximum" },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix
  dashboard_body = jsonencode({
    widgets = [
      for index, widget in local.widgets : {
        type   = "metric"
        width  = 12
        height = 6
        x      = (index % 2) * 12
        y      = floor(index / 2) * 6
        properties = {
          title   = widget.title
          region  = var.region
          metrics = widget.metrics
          stat    = widget.stat
          period  = local.hour
          view    = "timeSeries"
        }
      }
    ]
  })
}
