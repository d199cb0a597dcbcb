# Accounts with and without what others have made there, with the provider mocked.
mock_provider "aws" {
  mock_data "aws_iam_session_context" {
    defaults = { issuer_arn = "arn:aws:iam::123456789012:role/person" }
  }
  mock_data "aws_lakeformation_data_lake_settings" {
    defaults = {
      admins                              = ["arn:aws:iam::123456789012:role/others", "arn:aws:iam::123456789012:role/headwater-gone-apply"]
      read_only_admins                    = ["arn:aws:iam::123456789012:role/auditors"]
      parameters                          = { CROSS_ACCOUNT_VERSION = "4" }
      trusted_resource_owners             = ["210987654321"]
      authorized_session_tag_value_list   = []
      external_data_filtering_allow_list  = []
      create_database_default_permissions = []
      create_table_default_permissions    = []
    }
  }
  mock_data "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/theirs", client_id_list = ["sts.amazonaws.com"] }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/ours" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/state" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::headwater-123456789012-state" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/headwater-boundary" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
}

override_resource {
  target = aws_iam_role.deployer["headwater-dev-plan"]
  values = { arn = "arn:aws:iam::123456789012:role/headwater-dev-plan" }
}

override_resource {
  target = aws_iam_role.deployer["headwater-dev-apply"]
  values = { arn = "arn:aws:iam::123456789012:role/headwater-dev-apply" }
}

variables {
  account      = "123456789012"
  environments = ["dev"]
  repository   = "you/headwater"
}

run "what_others_have_set_in_lake_formation_stays" {
  assert {
    condition = aws_lakeformation_data_lake_settings.this.admins == toset([
      "arn:aws:iam::123456789012:role/others", "arn:aws:iam::123456789012:role/person", "arn:aws:iam::123456789012:role/headwater-dev-apply",
    ])
    error_message = "Administrators were lost, or a role that is gone was kept."
  }

  assert {
    condition = aws_lakeformation_data_lake_settings.this.read_only_admins == toset([
      "arn:aws:iam::123456789012:role/auditors", "arn:aws:iam::123456789012:role/headwater-dev-plan",
    ])
    error_message = "Who plans has to see the grants."
  }

  assert {
    condition     = aws_lakeformation_data_lake_settings.this.parameters == tomap({ CROSS_ACCOUNT_VERSION = "4" }) && aws_lakeformation_data_lake_settings.this.trusted_resource_owners == tolist(["210987654321"])
    error_message = "Settings of others were lost."
  }
}

run "defaults_that_others_may_rely_on_are_emptied_only_when_that_is_said" {
  command = plan

  override_data {
    target = data.aws_lakeformation_data_lake_settings.present
    values = {
      admins                              = []
      read_only_admins                    = []
      create_database_default_permissions = []
      create_table_default_permissions    = [{ permissions = ["ALL"], principal = "IAM_ALLOWED_PRINCIPALS" }]
    }
  }

  expect_failures = [aws_lakeformation_data_lake_settings.this]
}

run "they_are_emptied_when_it_is_said" {
  command = plan

  variables {
    empty_lake_formation_defaults = true
  }

  override_data {
    target = data.aws_lakeformation_data_lake_settings.present
    values = {
      admins                              = []
      read_only_admins                    = []
      create_database_default_permissions = []
      create_table_default_permissions    = [{ permissions = ["ALL"], principal = "IAM_ALLOWED_PRINCIPALS" }]
    }
  }
}

run "an_empty_account_gets_everything" {
  assert {
    condition = (
      length(aws_iam_service_linked_role.lake_formation) == 1 && length(aws_iam_openid_connect_provider.github) == 1 &&
      length(aws_glue_data_catalog_encryption_settings.this) == 1 && length(aws_s3_account_public_access_block.this) == 1
    )
    error_message = "Something is missing."
  }
}

run "what_an_account_has_is_not_made_again" {
  state_key = "lived_in"

  variables {
    existing = ["catalog_encryption", "github_provider", "lake_formation_role", "public_access_block"]
  }

  assert {
    condition = (
      length(aws_iam_service_linked_role.lake_formation) == 0 && length(aws_iam_openid_connect_provider.github) == 0 &&
      length(aws_glue_data_catalog_encryption_settings.this) == 0 && length(aws_s3_account_public_access_block.this) == 0
    )
    error_message = "Something of others would be replaced."
  }

  assert {
    condition     = strcontains(aws_iam_role.deployer["headwater-dev-plan"].assume_role_policy, "oidc-provider/theirs")
    error_message = "The roles trust the provider that is there."
  }
}

run "a_provider_for_another_audience_is_refused" {
  command   = plan
  state_key = "lived_in"

  variables {
    existing = ["github_provider"]
  }

  override_data {
    target = data.aws_iam_openid_connect_provider.github
    values = { arn = "arn:aws:iam::123456789012:oidc-provider/theirs", client_id_list = ["others"] }
  }

  expect_failures = [data.aws_iam_openid_connect_provider.github]
}

run "what_is_no_part_of_an_account_is_refused" {
  command = plan

  variables {
    existing = ["github_provider", "lake_formation_admins"]
  }

  expect_failures = [var.existing]
}

run "an_environment_that_is_not_declared_is_refused" {
  command = plan

  variables {
    environments = ["development"]
  }

  expect_failures = [var.environments]
}

run "an_environment_of_another_account_is_refused" {
  command = plan

  variables {
    account = "210987654321"
  }

  expect_failures = [var.environments]
}
