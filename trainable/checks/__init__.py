"""What data and model are worth before training: one finding a check."""
