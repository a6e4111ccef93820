"""Judging policies on logs: the calls of service Evaluation, and the process that each of them runs."""
