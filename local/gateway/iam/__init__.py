"""IAM as the gateway evaluates it: who signs a request, what policies say, and what services do in a role's name."""
