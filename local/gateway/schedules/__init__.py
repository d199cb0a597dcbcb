"""EventBridge Scheduler: schedules that fire on the gateway's clock."""
