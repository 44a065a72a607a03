"""Webhook endpoints, and delivering what there is to tell to them."""

from .deliverer import Deliverer
from .endpoints import EndpointDraft, EndpointState, Webhooks

__all__ = ["Deliverer", "EndpointDraft", "EndpointState", "Webhooks"]
