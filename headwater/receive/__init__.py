"""What comes in by itself, as Lambdas receive it."""
