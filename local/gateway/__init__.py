"""The AWS API of the local stack: moto's server with real executors behind the calls that moto only fakes."""
