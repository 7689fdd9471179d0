"""Scores of labelled pairs into numbers: thresholds, verification, intervals, spread, one step's probe."""
