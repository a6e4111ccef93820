"""Messages and bytes that nobody should send: what the service makes of them."""
