"""Who may call: tokens, scopes, tenants, rates and certificates."""
