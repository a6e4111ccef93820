"""What happens when something breaks, as seen from outside."""
