"""Learning: the Q-network, its losses, the adapters, meta-training, and the Policy that serves."""
