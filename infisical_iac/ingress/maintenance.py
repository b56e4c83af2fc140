"""The edge, closed while a change is checked by a file that Caddy looks for at each request."""

# In the directory of the Caddyfile, which is mounted into every container of Caddy already.
MARKER = "closed"
RETRY_SECONDS = 30
# By this a check knows that the answer is Caddy's own, and not that of somebody else's proxy.
TEXT = "Infisical is being changed and will be back in a moment."
