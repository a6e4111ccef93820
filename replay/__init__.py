"""Judging a policy on logs: the log's schema, estimators, and replay of the adapting policy."""
