"""Whom the policy is compared with: one agent a file, all behind the port in `port.py`."""
