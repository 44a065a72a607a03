"""Sending webhooks over the network."""
