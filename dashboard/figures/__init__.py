"""Charts, each in two steps: what is shown, and how it looks."""
