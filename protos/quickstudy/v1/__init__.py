"""Version 1 of the wire contract; regenerate the stubs with `make protos`."""
