"""Policies for splitenv, and what makes them: training, evaluation, export."""
