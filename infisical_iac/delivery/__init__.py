"""How a service's credentials get to where the service runs."""
