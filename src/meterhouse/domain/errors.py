"""What can be wrong with a request, as types the outer layers translate into their own shapes."""

from __future__ import annotations


class MeterhouseError(Exception):
    """Base of every error a user can cause. `code` is stable; the message says what, where and what to do."""

    code = "error"


class Invalid(MeterhouseError):
    """The input does not mean anything: the message names the field and what it takes."""

    code = "invalid"


class TooManyGroups(Invalid):
    """An answer would list more groups than it may."""

    code = "too_many_groups"


class NotFound(MeterhouseError):
    """The thing named does not exist (or is not the caller's to see)."""

    code = "not_found"


class AlreadyExists(MeterhouseError):
    """The identifier is taken."""

    code = "already_exists"


class Overloaded(MeterhouseError):
    """More is waiting than the server accepts; nothing of this request was stored. Try again."""

    code = "overloaded"
    retry_after_s = 1


class NotYet(MeterhouseError):
    """What the answer must include has not been stored yet."""

    code = "not_yet"
    retry_after_s = 1


class Unavailable(MeterhouseError):
    """A part of the server does not answer: what was asked of it may be done or not. Repeating it is safe."""

    code = "unavailable"
    retry_after_s = 1


class InsufficientStorage(MeterhouseError):
    """The disk is full; nothing of this request was stored. It goes on by itself when there is room again."""

    code = "insufficient_storage"
    retry_after_s = 30


class StorageDamaged(MeterhouseError):
    """Stored data cannot be read. Repeating the request does not help: the operator has to repair the folder."""

    code = "storage_damaged"


class NotRecorded(MeterhouseError):
    """An event that a change consists of was refused by the store, so that the change is not complete."""

    code = "not_recorded"


class FolderError(MeterhouseError):
    """The data folder cannot be used: in use, not writable, or written by a newer version."""

    code = "folder"
