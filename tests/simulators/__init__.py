"""Tests of the simulated users and of who meets them."""
