"""The life of a policy: the store of versions, which of them serve, and how that changes without a restart."""
