"""The command line: options, how they are read, how a command begins and ends."""
