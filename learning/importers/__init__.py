"""Files of closed trades → strands: recognised by content, opened read-only, counted in full."""
