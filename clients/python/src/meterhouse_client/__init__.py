"""Sends usage to Meterhouse without holding up the program that is metered, and asks what was used."""

from .asking import Check as Check
from .async_client import AsyncClient as AsyncClient
from .buffer import WhenFull as WhenFull
from .client import Client as Client
from .errors import BufferFull as BufferFull
from .errors import Closed as Closed
from .errors import InvalidEvent as InvalidEvent
from .errors import MeterhouseClientError as MeterhouseClientError
from .errors import QuotaExceeded as QuotaExceeded
from .errors import Refused as Refused
from .errors import SpoolError as SpoolError
from .errors import Unreachable as Unreachable
from .meter import Meter as Meter
from .sender import Counts as Counts
from .sender import Problem as Problem
from .webhooks import WebhookInvalid as WebhookInvalid
from .webhooks import verify as verify
