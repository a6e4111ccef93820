"""Tests of the service: real Valkey, real gRPC over a socket."""
