"""What the market looked like when a trade was opened, and what its path offered."""
