"""Packages of what the contract imports."""
