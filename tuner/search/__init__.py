"""One search: plan, suggestions, trials, records, and its end."""
