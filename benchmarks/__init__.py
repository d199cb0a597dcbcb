"""Measures, as ratios; they print figures and judge nothing."""
