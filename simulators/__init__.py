"""Simulated users to learn from and to be judged by, as gymnasium environments that step a whole batch at once."""
