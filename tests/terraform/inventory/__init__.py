"""What an environment consists of, as Terraform made it and as the API of a gateway lists it, and where the two differ."""
