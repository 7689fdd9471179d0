"""A stored trial again: its model trained, compared, exported."""
