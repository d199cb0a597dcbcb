terraform {
  # Native locking of the state in S3.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  # Bucket and key come from terraform/backends/<environment>.tfbackend; terraform/bootstrap makes the bucket.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = local.deployment.environment.region
  allowed_account_ids = [local.deployment.environment.account]

  default_tags {
    tags = {
      project     = "headwater"
      environment = var.environment
    }
  }
}
