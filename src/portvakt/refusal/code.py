"""The closed list of reasons: every way in which a request can be refused.

A :class:`Code` is what a program tests, an operator greps for and a translator explains. It carries
everything that follows from it: the :class:`Step` of the procedure that failed, the HTTP status,
the OAuth error code of RFC 6750 section 3.1, and one fixed sentence for the caller. Nothing from a
token, a request or a key is ever part of that sentence: whatever precedes the signature shares one
sentence, so that the answer does not tell a forger how far he came.
"""

from enum import Enum

from portvakt.refusal.step import Step

__all__ = ["Code"]


_UNTRUSTED = "The access token is malformed, or was not issued and signed for this API."
_CLAIM = "A claim of the access token is missing or malformed."
_PROOF = "The DPoP proof is missing, malformed, or not for this request and this access token."
_HANDS = "The access token is bound to a key, and the request does not prove possession of it."
_UNDECIDED = "The access token cannot be checked at the moment."


class Code(Enum):
    """Why a request was refused: a stable name, and what follows from it.

    Attributes:
        step: the check that failed.
        status: the HTTP status of the answer: 400, 401, 403 or 503.
        error: the OAuth error code for the challenge; None where RFC 6750 section 3.1 wants none.
        sentence: the one sentence the caller is told. Plain ASCII without quotes or backslashes, as
            RFC 6750 section 3 demands of ``error_description``.
    """

    step: Step
    status: int
    error: str | None
    sentence: str

    def __new__(
        cls, value: str, step: Step, status: int, error: str | None, sentence: str
    ) -> "Code":
        code = object.__new__(cls)
        code._value_ = value
        code.step = step
        code.status = status
        code.error = error
        code.sentence = sentence
        return code

    # The request as such.
    REQUEST_MALFORMED = (
        "request_malformed",
        Step.REQUEST,
        400,
        "invalid_request",
        "The request is malformed.",
    )
    TOKEN_IN_URL = (
        "token_in_url",
        Step.CREDENTIAL,
        400,
        "invalid_request",
        "Access tokens are accepted in the Authorization header only, never in the URL.",
    )
    METHOD_OVERRIDDEN = (
        "method_overridden",
        Step.CREDENTIAL,
        400,
        "invalid_request",
        "Headers that override the request method are not accepted.",
    )

    # Which rule applies.
    ROUTE_UNKNOWN = (
        "route_unknown",
        Step.ROUTE,
        403,
        None,
        "No rule of this API admits this method and path.",
    )

    # The one credential (RFC 6750 section 2.1).
    CREDENTIAL_MISSING = (
        "credential_missing",
        Step.CREDENTIAL,
        401,
        None,
        "An access token is required.",
    )
    CREDENTIAL_REPEATED = (
        "credential_repeated",
        Step.CREDENTIAL,
        400,
        "invalid_request",
        "The request carries more than one Authorization header.",
    )
    CREDENTIAL_MALFORMED = (
        "credential_malformed",
        Step.CREDENTIAL,
        400,
        "invalid_request",
        "The Authorization header is not of the form: Bearer, a space, one token.",
    )
    SCHEME_UNSUPPORTED = (
        "scheme_unsupported",
        Step.CREDENTIAL,
        401,
        None,
        "The Authorization scheme is not accepted here.",
    )
    SCHEME_REFUSED = (
        "scheme_refused",
        Step.CREDENTIAL,
        401,
        "invalid_token",
        "This request takes access tokens with another Authorization scheme.",
    )

    # The compact serialization (RFC 7515 section 7.1).
    TOKEN_TOO_LONG = ("token_too_long", Step.FORM, 401, "invalid_token", _UNTRUSTED)
    TOKEN_ENCRYPTED = ("token_encrypted", Step.FORM, 401, "invalid_token", _UNTRUSTED)
    TOKEN_PARTS = ("token_parts", Step.FORM, 401, "invalid_token", _UNTRUSTED)
    TOKEN_ENCODING = ("token_encoding", Step.FORM, 401, "invalid_token", _UNTRUSTED)

    # A reference token, whose issuer is asked (RFC 7662).
    TOKEN_INACTIVE = (
        "token_inactive",
        Step.INTROSPECTION,
        401,
        "invalid_token",
        "The access token is not active: it has expired, was revoked, or is none.",
    )
    INTROSPECTION_UNAVAILABLE = (
        "introspection_unavailable",
        Step.INTROSPECTION,
        503,
        None,
        _UNDECIDED,
    )

    # An encrypted token (RFC 7516). Why it cannot be decrypted, nobody is told (section 11.5).
    ENCRYPTION_REFUSED = ("encryption_refused", Step.DECRYPTION, 401, "invalid_token", _UNTRUSTED)
    DECRYPTION_FAILED = ("decryption_failed", Step.DECRYPTION, 401, "invalid_token", _UNTRUSTED)

    # The protected header (RFC 7515 section 4).
    HEADER_TOO_LONG = ("header_too_long", Step.HEADER, 401, "invalid_token", _UNTRUSTED)
    HEADER_JSON = ("header_json", Step.HEADER, 401, "invalid_token", _UNTRUSTED)
    HEADER_PARAMETER = ("header_parameter", Step.HEADER, 401, "invalid_token", _UNTRUSTED)
    HEADER_CRITICAL = ("header_critical", Step.HEADER, 401, "invalid_token", _UNTRUSTED)
    HEADER_FORBIDDEN = ("header_forbidden", Step.HEADER, 401, "invalid_token", _UNTRUSTED)

    # Whose token, of which kind, signed how, with which key.
    ISSUER_MISSING = ("issuer_missing", Step.ISSUER, 401, "invalid_token", _UNTRUSTED)
    ISSUER_UNKNOWN = ("issuer_unknown", Step.ISSUER, 401, "invalid_token", _UNTRUSTED)
    TYPE_REFUSED = ("type_refused", Step.TYPE, 401, "invalid_token", _UNTRUSTED)
    ALGORITHM_NONE = ("algorithm_none", Step.ALGORITHM, 401, "invalid_token", _UNTRUSTED)
    ALGORITHM_REFUSED = ("algorithm_refused", Step.ALGORITHM, 401, "invalid_token", _UNTRUSTED)
    KEY_UNKNOWN = ("key_unknown", Step.KEY, 401, "invalid_token", _UNTRUSTED)
    KEY_AMBIGUOUS = ("key_ambiguous", Step.KEY, 401, "invalid_token", _UNTRUSTED)
    SIGNATURE_INVALID = ("signature_invalid", Step.SIGNATURE, 401, "invalid_token", _UNTRUSTED)

    # The claims (RFC 7519 section 4.1, RFC 9068 sections 2.2 and 4). From here on the token is
    # genuine, and its holder may be told what is wrong with it.
    PAYLOAD_JSON = (
        "payload_json",
        Step.PAYLOAD,
        401,
        "invalid_token",
        "The content of the access token is not one JSON object without repeated names.",
    )
    NOT_ACCESS_TOKEN = (
        "not_access_token",
        Step.PAYLOAD,
        401,
        "invalid_token",
        "The token is of another kind than an access token.",
    )
    ISSUER_CHANGED = ("issuer_changed", Step.PAYLOAD, 401, "invalid_token", _UNTRUSTED)
    AUDIENCE_MISSING = (
        "audience_missing",
        Step.AUDIENCE,
        401,
        "invalid_token",
        "The access token does not say which API it is for.",
    )
    AUDIENCE_MALFORMED = ("audience_malformed", Step.AUDIENCE, 401, "invalid_token", _CLAIM)
    AUDIENCE_WRONG = (
        "audience_wrong",
        Step.AUDIENCE,
        401,
        "invalid_token",
        "The access token is for another API.",
    )
    AUDIENCE_EXTRA = (
        "audience_extra",
        Step.AUDIENCE,
        401,
        "invalid_token",
        "The access token is also for APIs that this one does not share tokens with.",
    )
    EXPIRY_MISSING = ("expiry_missing", Step.EXPIRY, 401, "invalid_token", _CLAIM)
    EXPIRY_MALFORMED = ("expiry_malformed", Step.EXPIRY, 401, "invalid_token", _CLAIM)
    TOKEN_EXPIRED = (
        "token_expired",
        Step.EXPIRY,
        401,
        "invalid_token",
        "The access token has expired.",
    )
    NOT_BEFORE_MALFORMED = ("not_before_malformed", Step.NOT_BEFORE, 401, "invalid_token", _CLAIM)
    NOT_YET_VALID = (
        "not_yet_valid",
        Step.NOT_BEFORE,
        401,
        "invalid_token",
        "The access token is not valid yet.",
    )
    ISSUED_AT_MISSING = ("issued_at_missing", Step.ISSUED_AT, 401, "invalid_token", _CLAIM)
    ISSUED_AT_MALFORMED = ("issued_at_malformed", Step.ISSUED_AT, 401, "invalid_token", _CLAIM)
    ISSUED_IN_FUTURE = (
        "issued_in_future",
        Step.ISSUED_AT,
        401,
        "invalid_token",
        "The access token says that it is issued in the future.",
    )
    LIFETIME_TOO_LONG = (
        "lifetime_too_long",
        Step.LIFETIME,
        401,
        "invalid_token",
        "The access token lives longer than this API allows.",
    )
    CLAIM_MISSING = ("claim_missing", Step.IDENTIFIERS, 401, "invalid_token", _CLAIM)
    CLAIM_MALFORMED = ("claim_malformed", Step.IDENTIFIERS, 401, "invalid_token", _CLAIM)
    SCOPE_MALFORMED = ("scope_malformed", Step.SCOPE, 401, "invalid_token", _CLAIM)

    IDENTITY_MALFORMED = ("identity_malformed", Step.IDENTITY, 401, "invalid_token", _CLAIM)
    IDENTITY_REFUSED = (
        "identity_refused",
        Step.IDENTITY,
        401,
        "invalid_token",
        "The access token identifies a person by a kind of number that is not accepted here.",
    )

    # Still good.
    TOKEN_REVOKED = (
        "token_revoked",
        Step.REVOCATION,
        401,
        "invalid_token",
        "The access token has been revoked.",
    )
    REVOCATION_UNAVAILABLE = ("revocation_unavailable", Step.REVOCATION, 503, None, _UNDECIDED)

    # Whose hands, and for what.
    CONFIRMATION_UNMET = ("confirmation_unmet", Step.CONFIRMATION, 401, "invalid_token", _HANDS)
    BINDING_REQUIRED = (
        "binding_required",
        Step.CONFIRMATION,
        401,
        "invalid_token",
        "This request needs an access token that is bound to a key of its holder.",
    )
    # The proof of possession (RFC 9449 sections 4.3 and 7.1), check by check.
    PROOF_MISSING = ("proof_missing", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_REPEATED = ("proof_repeated", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_MALFORMED = ("proof_malformed", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_TYPE = ("proof_type", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_ALGORITHM = ("proof_algorithm", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_KEY = ("proof_key", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_SIGNATURE = ("proof_signature", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_METHOD = ("proof_method", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_TARGET = ("proof_target", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_NONCE = (
        "proof_nonce",
        Step.CONFIRMATION,
        401,
        "use_dpop_nonce",
        "The DPoP proof must carry the nonce that this answer states.",
    )
    PROOF_TIME = (
        "proof_time",
        Step.CONFIRMATION,
        401,
        "invalid_dpop_proof",
        "The DPoP proof is too old, or from the future.",
    )
    PROOF_TOKEN = ("proof_token", Step.CONFIRMATION, 401, "invalid_dpop_proof", _PROOF)
    PROOF_BINDING = ("proof_binding", Step.CONFIRMATION, 401, "invalid_token", _HANDS)
    # The client's certificate (RFC 8705 section 3).
    CERTIFICATE_MISSING = ("certificate_missing", Step.CONFIRMATION, 401, "invalid_token", _HANDS)
    CERTIFICATE_WRONG = ("certificate_wrong", Step.CONFIRMATION, 401, "invalid_token", _HANDS)
    PROOF_REPLAYED = (
        "proof_replayed",
        Step.REPLAY,
        401,
        "invalid_dpop_proof",
        "The DPoP proof was used before.",
    )
    REPLAY_UNAVAILABLE = ("replay_unavailable", Step.REPLAY, 503, None, _UNDECIDED)

    ENCRYPTION_REQUIRED = (
        "encryption_required",
        Step.AUTHORIZATION,
        401,
        "invalid_token",
        "This request needs an access token that is encrypted.",
    )
    SCOPE_INSUFFICIENT = (
        "scope_insufficient",
        Step.AUTHORIZATION,
        403,
        "insufficient_scope",
        "The access token does not carry the scope that this request needs.",
    )
    REGISTER_DENIED = (
        "register_denied",
        Step.REGISTER,
        403,
        None,
        "A register that this API asks does not confirm what the access token says.",
    )

    LIFETIME_TOO_SENSITIVE = (
        "lifetime_too_sensitive",
        Step.AUTHORIZATION,
        401,
        "invalid_token",
        "The access token lives longer than data of this sensitivity allows.",
    )
    # RFC 9470 section 3.
    LEVEL_TOO_LOW = (
        "level_too_low",
        Step.AUTHORIZATION,
        401,
        "insufficient_user_authentication",
        "This request needs a stronger authentication of the person.",
    )
    AUTHENTICATION_TOO_OLD = (
        "authentication_too_old",
        Step.AUTHORIZATION,
        401,
        "insufficient_user_authentication",
        "This request needs a more recent authentication of the person.",
    )
    IDENTITY_MISSING = (
        "identity_missing",
        Step.AUTHORIZATION,
        403,
        None,
        "The access token does not say who or for which organisation, as this request needs.",
    )
    CLIENT_REFUSED = (
        "client_refused",
        Step.AUTHORIZATION,
        403,
        None,
        "The client that the access token was issued to may not make this request.",
    )
    ORGANISATION_REFUSED = (
        "organisation_refused",
        Step.AUTHORIZATION,
        403,
        None,
        "The organisation that the access token speaks for may not make this request.",
    )
    RULE_UNMET = (
        "rule_unmet",
        Step.AUTHORIZATION,
        403,
        None,
        "The access token does not meet a rule of this API for this request.",
    )

    # Not the caller's fault: nothing was decided about the token.
    KEYS_UNAVAILABLE = ("keys_unavailable", Step.KEY, 503, None, _UNDECIDED)
    REGISTER_UNAVAILABLE = (
        "register_unavailable",
        Step.REGISTER,
        503,
        None,
        "A register that this API asks cannot be reached at the moment.",
    )
    RECORDS_UNAVAILABLE = (
        "records_unavailable",
        Step.RECORD,
        503,
        None,
        "Requests are recorded by this API, and cannot be at the moment.",
    )
    INTERNAL_ERROR = (
        "internal_error",
        Step.REQUEST,
        503,
        None,
        "The request cannot be checked at the moment.",
    )
