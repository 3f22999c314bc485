"""The scenes of the demo: honest and hostile requests, and what must come of each.

A scene is data: what is sent, what the advice says about it, and the answer that must follow. The
advice is HelseID's to APIs that receive JWTs, and that of the RFCs it rests on, in our own words.
"""

from typing import Final

from msgspec import Struct

from portvakt.demo.sent import (
    WRITER,
    Make,
    bearer,
    changed,
    fault,
    honest,
    in_url,
    plain,
    token,
    twice,
    write,
)
from portvakt.refusal import Code

__all__ = ["ACTS", "SCENES", "Act", "Scene"]


class Scene(Struct, frozen=True):
    """One request, and what must happen.

    Attributes:
        id: its name, unique.
        sent: what is sent, in a few words.
        advice: what the advice says, in one sentence.
        make: makes the request.
        status: the HTTP status that must be answered.
        code: why it must be refused; None if it must be admitted.
    """

    id: str
    sent: str
    advice: str
    make: Make
    status: int
    code: Code | None = None


class Act(Struct, frozen=True):
    """Scenes that belong together.

    Attributes:
        title: what they have in common.
        scenes: in their order.
    """

    title: str
    scenes: tuple[Scene, ...]


def _refused(name: str, sent: str, advice: str, make: Make, code: Code) -> Scene:
    return Scene(name, sent, advice, make, code.status, code)


ACTS: Final = (
    Act(
        "Honest callers get in",
        (
            Scene(
                "public",
                "GET /healthz, no token",
                "Nothing is open by accident: the policy says that this route is public.",
                plain("/healthz"),
                200,
            ),
            Scene(
                "honest",
                "An honest token that may read journals",
                "Check the signature, who issued it, for whom, when, and the scope. All are right.",
                bearer(),
                200,
            ),
            Scene(
                "again",
                "The same token again",
                "A good signature stays good; the time and the scope are checked again each time.",
                bearer(),
                200,
            ),
            Scene(
                "write",
                "POST with an honest token that may write",
                "Check the scope that this very request needs.",
                write(WRITER),
                201,
            ),
            Scene(
                "scope-array",
                "An honest token with its scopes in an array",
                "HelseID writes scopes as an array, others as words in a string: both are right.",
                bearer(token(scope=["openid", "nhn:journal/read"])),
                200,
            ),
            Scene(
                "scheme-case",
                'An honest token after "bearer" in small letters',
                "The name of the scheme does not depend on case; all else does.",
                bearer(scheme="bearer"),
                200,
            ),
        ),
    ),
    Act(
        "No token, or not where tokens belong",
        (
            _refused(
                "no-token",
                "No token",
                "Whatever is not declared public needs a token.",
                plain(),
                Code.CREDENTIAL_MISSING,
            ),
            _refused(
                "basic",
                "A user name and a password (Basic)",
                "Access tokens only: no other way in is left open beside them.",
                plain(headers=(("Authorization", "Basic ZGVtbzpkZW1v"),)),
                Code.SCHEME_UNSUPPORTED,
            ),
            _refused(
                "in-url",
                "An honest token in the URL",
                "URLs end up in logs and histories: never take a token from one.",
                in_url(honest),
                Code.TOKEN_IN_URL,
            ),
            _refused(
                "two-headers",
                "Two Authorization headers, the first one honest",
                "If two programs may read two different tokens, neither of them counts.",
                twice(WRITER),
                Code.CREDENTIAL_REPEATED,
            ),
            _refused(
                "not-a-jwt",
                "Something that is not a JWT",
                "Take apart strictly; refuse what does not have the form.",
                bearer(lambda _: "let-me-in"),
                Code.TOKEN_PARTS,
            ),
            _refused(
                "huge",
                "A token of one megabyte",
                "Set a limit to what is read, and look at it first.",
                bearer(lambda _: "A" * 1_000_000),
                Code.TOKEN_TOO_LONG,
            ),
        ),
    ),
    Act(
        "Forged tokens",
        (
            _refused(
                "none",
                'An unsigned token: "alg": "none"',
                "Never accept none: a token is worth what its signature is worth.",
                bearer(fault("none-signed")),
                Code.ALGORITHM_NONE,
            ),
            _refused(
                "hs256",
                "Signed with HS256, the public key as the secret",
                "The API decides which algorithms count, never the token.",
                bearer(fault("hs256-pem")),
                Code.ALGORITHM_REFUSED,
            ),
            _refused(
                "stripped",
                "An honest token without its signature",
                "Always validate the signature; a missing one is not a valid one.",
                bearer(fault("signature-missing")),
                Code.TOKEN_PARTS,
            ),
            _refused(
                "changed",
                "An honest token with one more scope written in",
                "The signature covers every character: change one, and it breaks.",
                bearer(changed),
                Code.SIGNATURE_INVALID,
            ),
            _refused(
                "foreign-key",
                "Signed with a key of the attacker's own",
                "Only keys that the issuer has published count.",
                bearer(fault("foreign-key")),
                Code.SIGNATURE_INVALID,
            ),
            _refused(
                "jwk",
                "The attacker's key brought along in the header (jwk)",
                "A token may not bring the key that it is to be checked with.",
                bearer(fault("jwk")),
                Code.HEADER_FORBIDDEN,
            ),
            _refused(
                "jku",
                "A link to the attacker's keys in the header (jku)",
                "Do not trust kid, jku or x5u blindly; no link in a token is ever followed.",
                bearer(fault("jku")),
                Code.HEADER_FORBIDDEN,
            ),
            _refused(
                "kid",
                'A kid that is the path of a file: "../../dev/null"',
                "A kid picks one of the issuer's known keys and does nothing else.",
                bearer(fault("kid-path")),
                Code.KEY_UNKNOWN,
            ),
            _refused(
                "crit",
                "An extension that must be understood (crit) and is not",
                "What is marked critical and not understood makes a token invalid.",
                bearer(fault("crit-unknown")),
                Code.HEADER_CRITICAL,
            ),
            _refused(
                "padding",
                "An honest token, its claims padded with =",
                "One token has one spelling, or a blocked one comes back under another.",
                bearer(fault("padding")),
                Code.TOKEN_ENCODING,
            ),
        ),
    ),
    Act(
        "Genuine signature, but not good for this API now",
        (
            _refused(
                "id-token",
                "An ID token instead of an access token",
                "Check typ: an ID token tells an app who logged in and opens no API.",
                bearer(fault("id-token")),
                Code.TYPE_REFUSED,
            ),
            _refused(
                "other-issuer",
                "A token that names another issuer",
                "Compare iss character by character with the issuers that you trust.",
                bearer(fault("iss-other")),
                Code.ISSUER_UNKNOWN,
            ),
            _refused(
                "aud-missing",
                "A token that does not say which API it is for",
                "Reject the request if aud is missing.",
                bearer(fault("aud-missing")),
                Code.AUDIENCE_MISSING,
            ),
            _refused(
                "aud-wrong",
                "A token for another API",
                "aud must be this API, or every API could use its tokens at every other.",
                bearer(fault("aud-other")),
                Code.AUDIENCE_WRONG,
            ),
            _refused(
                "aud-extra",
                "A token for this API and another one",
                "Tokens for several APIs are not recommended: each of them could pass it on.",
                bearer(fault("aud-extra")),
                Code.AUDIENCE_EXTRA,
            ),
            _refused(
                "expired",
                "A token that has expired",
                "Always check exp, with a few seconds' leeway at most.",
                bearer(fault("expired")),
                Code.TOKEN_EXPIRED,
            ),
            _refused(
                "not-yet",
                "A token that is not valid yet",
                "Always check nbf: not before its time.",
                bearer(fault("nbf-future")),
                Code.NOT_YET_VALID,
            ),
            _refused(
                "long-lived",
                "A token that lives longer than the policy allows",
                "Lifetimes as short as possible: what is stolen must soon be worthless.",
                bearer(fault("long-lived")),
                Code.LIFETIME_TOO_LONG,
            ),
            _refused(
                "duplicate-claim",
                "A token that says aud twice, and not the same",
                "If two readers may read two things, refuse.",
                bearer(fault("claim-repeated")),
                Code.PAYLOAD_JSON,
            ),
            _refused(
                "bound",
                "A token bound to a key, sent without proof of the key",
                "A bound token is worthless to a thief; taking it as it is would undo that.",
                bearer(fault("cnf")),
                Code.CONFIRMATION_UNMET,
            ),
            _refused(
                "scope",
                "POST with a token that may only read",
                "Check scope values: who may read may not therefore write.",
                write(token()),
                Code.SCOPE_INSUFFICIENT,
            ),
        ),
    ),
    Act(
        "Tricks with the request",
        (
            _refused(
                "dots",
                "GET /healthz/../journal/1, no token",
                "A path is judged as it is written, and written so it is not the public one.",
                plain("/healthz/../journal/1"),
                Code.CREDENTIAL_MISSING,
            ),
            _refused(
                "encoded-slash",
                "GET /healthz%2f..%2fjournal/1, no token",
                "Nothing is decoded to make it fit; what is not declared public needs a token.",
                plain("/healthz%2f..%2fjournal/1"),
                Code.CREDENTIAL_MISSING,
            ),
            _refused(
                "method-override",
                "GET that a header turns into POST",
                "What was checked must be what is done: no header may change the method.",
                bearer(headers=(("X-HTTP-Method-Override", "POST"),)),
                Code.METHOD_OVERRIDDEN,
            ),
        ),
    ),
)

#: Every scene, in its order.
SCENES: Final = tuple(scene for act in ACTS for scene in act.scenes)
