"""The HTTP surface: Meterhouse's own API, and the contracts mounted beside it."""
