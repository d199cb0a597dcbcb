# Plans that must not be: each validation refuses what it is there for.
mock_provider "aws" {
  # The provider checks the form of what it is given, also where it is mocked.
  mock_data "aws_vpc" {
    defaults = { cidr_block = "10.0.0.0/16" }
  }
}

run "unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "production"
  }

  expect_failures = [var.environment]
}

run "old_glue_is_refused" {
  command = plan

  variables {
    environment  = "dev"
    glue_version = "5.0"
  }

  expect_failures = [var.glue_version]
}

run "a_role_whose_arn_is_not_known_where_it_is_made_is_refused" {
  command = plan

  module {
    source = "./modules/role"
  }

  variables {
    role = {
      name        = "r"
      file        = "f"
      trust       = "{}"
      permissions = "{\"Statement\": [{\"Sid\": \"A\", \"Action\": [\"kms:Decrypt\"], \"Resource\": [\"$${data_key}\", \"$${workgroup_arn}\"]}]}"
    }
    arns = { data_key = "arn:aws:kms:eu-west-1:123456789012:key/k" }
  }

  expect_failures = [var.role]
}

run "a_role_name_that_iam_does_not_take_is_refused" {
  command = plan

  module {
    source = "./modules/role"
  }

  variables {
    role = {
      name        = "a-name-of-more-than-sixty-four-characters-which-iam-takes-for-no-role"
      file        = "f"
      trust       = "{}"
      permissions = "{\"Statement\": []}"
    }
    arns = {}
  }

  expect_failures = [var.role]
}
