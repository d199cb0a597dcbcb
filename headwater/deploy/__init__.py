"""What an environment is made of; for operators, not for workers or Lambdas."""
