"""Profiles: measured devices, GPUs, models, networks and arrivals, each number with its source."""
