"""What a run's tables say: which trial won and what it is worth, which hyperparameters mattered, what went wrong."""
