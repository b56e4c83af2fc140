"""Move `.env` files into Infisical: find, judge, plan, apply, read back, clean up."""
