"""Drawn sequences of faults through the whole pipeline, each of which has to come to what a run without faults does."""
