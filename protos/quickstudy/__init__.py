"""Packages of the wire contract."""
