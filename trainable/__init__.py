"""One trial: the pair table, the model, the repaired losses, the metrics and the training generator."""
