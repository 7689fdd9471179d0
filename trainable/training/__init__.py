"""Training one configuration: losses, the loop, its epoch reports and its saved state."""
