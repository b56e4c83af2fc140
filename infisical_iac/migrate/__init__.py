"""Move `.env` files into Infisical: find, assess, plan, apply, read back, clean up."""
