"""The screens: what was learned, what waits for a decision, and what the bots apply."""
