"""Is a trial sick? Detectors over its epochs, each with evidence, cause and remedy."""
