"""The rules of fields, as protovalidate defines them; regenerate the stub with `make protos`."""
