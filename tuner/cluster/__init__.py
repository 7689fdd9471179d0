"""Ray: started here or joined; features computed on it once and shared."""
