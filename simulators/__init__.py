"""Simulated users to learn from and to be judged by, as gymnasium environments that step a whole batch at once."""

from simulators.interest_exploration import InterestExploration

WORLDS = {world.name: world for world in (InterestExploration,)}
"""Every world by name; each takes the number of users as its first argument."""
