"""Meta-training, the only users of torch: from logs and in worlds, both as generators of metrics."""
