"""Peers that rank users never seen in training: each is fitted on the training users' likes and returns a `Scorer`."""
