"""The log of a training made elsewhere, read whatever tool wrote it: its format, cells, rows and runs."""
