"""The wire contract: protobuf definitions and the Python stubs generated from them."""
