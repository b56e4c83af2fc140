"""The rows of `status`, and the result of `drift` for webhooks and metrics."""
