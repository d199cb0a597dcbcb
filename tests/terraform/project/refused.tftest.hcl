# What modules/project refuses, without any provider.
variables {
  environment = {
    name    = "test"
    prefix  = "headwater-test"
    region  = "eu-west-1"
    account = "123456789012"
    warehouse = {
      workgroup = "w"
      database  = "d"
      copy_role = "arn:aws:iam::123456789012:role/headwater-test-copy"
    }
  }
  sources = {
    shop = { kind = "http", streams = { orders = { table = "orders" } } }
  }
  crawlers = {
    silver = { zone = "silver", schema_change = { update = "UPDATE_IN_DATABASE", delete = "LOG" } }
  }
  gold     = ["daily_revenue"]
  scripts  = ["extract", "gold"]
  handlers = ["plan_run"]
}

run "good_declarations_are_taken" {
  command = plan

  assert {
    condition     = keys(output.jobs) == ["headwater-test-gold", "headwater-test-shop-extract"]
    error_message = "One Extract job for each source, and one for each shared stage."
  }

  assert {
    condition     = output.jobs["headwater-test-shop-extract"].workers == 2
    error_message = "What a source leaves out has its default."
  }
}

run "unknown_worker_type_of_a_source_is_refused" {
  command = plan

  variables {
    sources = { shop = { kind = "http", job = { worker_type = "G.9X" }, streams = { orders = { table = "orders" } } } }
  }

  expect_failures = [var.sources]
}

run "a_single_worker_is_refused" {
  command = plan

  variables {
    sources = { shop = { kind = "http", job = { workers = 1 }, streams = { orders = { table = "orders" } } } }
  }

  expect_failures = [var.sources]
}

run "unknown_zone_of_a_crawler_is_refused" {
  command = plan

  variables {
    crawlers = { platinum = { zone = "platinum", schema_change = { update = "LOG", delete = "LOG" } } }
  }

  expect_failures = [var.crawlers]
}

run "unknown_schema_change_is_refused" {
  command = plan

  variables {
    crawlers = { silver = { zone = "silver", schema_change = { update = "GUESS", delete = "LOG" } } }
  }

  expect_failures = [var.crawlers]
}

run "a_prefix_that_no_bucket_can_have_is_refused" {
  command = plan

  variables {
    environment = {
      name      = "test"
      prefix    = "Headwater_Test"
      region    = "eu-west-1"
      account   = "123456789012"
      warehouse = { workgroup = "w", database = "d", copy_role = "arn:aws:iam::123456789012:role/Headwater_Test-copy" }
    }
  }

  expect_failures = [var.environment]
}

run "an_account_that_lost_its_quotes_is_refused" {
  command = plan

  variables {
    environment = {
      name      = "test"
      prefix    = "headwater-test"
      region    = "eu-west-1"
      account   = "12345"
      warehouse = { workgroup = "w", database = "d", copy_role = "arn:aws:iam::12345:role/headwater-test-copy" }
    }
  }

  expect_failures = [var.environment]
}

run "another_copy_role_is_refused" {
  command = plan

  variables {
    environment = {
      name      = "test"
      prefix    = "headwater-test"
      region    = "eu-west-1"
      account   = "123456789012"
      warehouse = { workgroup = "w", database = "d", copy_role = "arn:aws:iam::123456789012:role/somebody" }
    }
  }

  expect_failures = [var.environment]
}
