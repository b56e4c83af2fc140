"""The services of examples/chainalign/after, started for real."""
