# Addresses of accounts that were bootstrapped before: a renamed resource is moved, not made again.
moved {
  from = aws_iam_service_linked_role.lake_formation
  to   = aws_iam_service_linked_role.lake_formation["lake_formation_role"]
}

moved {
  from = aws_glue_data_catalog_encryption_settings.this
  to   = aws_glue_data_catalog_encryption_settings.this["catalog_encryption"]
}

moved {
  from = aws_s3_account_public_access_block.this
  to   = aws_s3_account_public_access_block.this["public_access_block"]
}

moved {
  from = aws_iam_openid_connect_provider.github
  to   = aws_iam_openid_connect_provider.github["github_provider"]
}

moved {
  from = aws_iam_role_policy.state
  to   = aws_iam_role_policy.deployer
}
