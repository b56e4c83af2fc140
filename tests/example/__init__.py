"""Start the services of examples/chainalign/after as processes."""
