"""The checks of one request, in the order in which they are made."""

from enum import IntEnum

__all__ = ["Step"]


class Step(IntEnum):
    """The checks of one request, in the order in which they are made.

    The order is part of the contract: a refusal at a step means that every earlier step passed and
    that no later one was reached.
    """

    REQUEST = 1
    ROUTE = 2
    CREDENTIAL = 3
    FORM = 4
    INTROSPECTION = 5
    DECRYPTION = 6
    HEADER = 7
    ISSUER = 8
    TYPE = 9
    ALGORITHM = 10
    KEY = 11
    SIGNATURE = 12
    PAYLOAD = 13
    AUDIENCE = 14
    EXPIRY = 15
    NOT_BEFORE = 16
    ISSUED_AT = 17
    LIFETIME = 18
    IDENTIFIERS = 19
    SCOPE = 20
    IDENTITY = 21
    REVOCATION = 22
    CONFIRMATION = 23
    AUTHORIZATION = 24
    REGISTER = 25
    RECORD = 26
    REPLAY = 27
