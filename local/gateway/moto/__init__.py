"""What moto lacks, answers wrongly or is slow at."""
