"""The doctor: what it looks at before a training, and in the log of one."""
