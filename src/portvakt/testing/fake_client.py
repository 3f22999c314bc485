"""A client that exists in a test only: it has a key, and proves that it has it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from portvakt.forge.proof_faults import PROOF_FAULTS
from portvakt.forge.proofs import ProofBuilder
from portvakt.http.request import HttpRequest
from portvakt.http.url import path_of
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portvakt.testing.fake_issuer import FakeIssuer

__all__ = ["FakeClient"]


class FakeClient:
    """A client with a key of its own, to which its tokens are bound (DPoP, RFC 9449).

    For testing an API whose routes have ``sender_constraint = "dpop"``::

        client = FakeClient(issuer, origin="https://api.test")
        token = client.token(scopes=["my-api/read"])
        assert guard.check_blocking(client.request(token, url="/journal")).admitted

    Parameters:
        issuer: who issues its tokens; proofs are made by its clock.
        origin: where the API is, one of the policy's ``origin``.
        alg: the algorithm of its key.

    Attributes:
        signer: its key.
        thumbprint: the RFC 7638 thumbprint of it, as in ``jkt``.
    """

    def __init__(
        self, issuer: FakeIssuer, *, origin: str = "https://api.test", alg: str = "ES256"
    ) -> None:
        self._issuer = issuer
        self._origin = origin
        self.signer: Final = Signer.generate(alg)
        self.thumbprint: Final = thumbprint(self.signer.public_jwk())

    def token(
        self,
        *,
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
    ) -> str:
        """Return an honest token that is bound to this client's key.

        Parameters:
            scopes: what it grants.
            claims: claims that are added or take the place of others, ``cnf`` among them.
            without: claims that it does not have.
        """
        bound = {"cnf": {"jkt": self.thumbprint}, **(claims or {})}
        return self._issuer.token(scopes=scopes, claims=bound, without=without)

    def proof(
        self, token: str, method: str = "GET", url: str = "/", *, nonce: str | None = None
    ) -> ProofBuilder:
        """Return an honest proof that is not written yet: ``build()`` writes it.

        Parameters:
            token: the token that goes with it.
            method: the method of the request.
            url: the request target.
            nonce: the last nonce that the API gave, if it gives any.
        """
        return ProofBuilder(
            self.signer,
            method=method,
            url=self._origin + path_of(url),
            token=token,
            now=self._issuer.clock(),
            nonce=nonce,
        )

    def request(
        self,
        token: str,
        method: str = "GET",
        url: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        *,
        proof: str | None = None,
        nonce: str | None = None,
    ) -> HttpRequest:
        """Return a request that carries *token* with a proof.

        Parameters:
            token: the token.
            method: the method.
            url: the request target.
            headers: further headers.
            proof: another proof than a new one.
            nonce: the last nonce that the API gave.
        """
        if proof is None:
            proof = self.proof(token, method, url, nonce=nonce).build()
        sent = (("Authorization", f"DPoP {token}"), ("DPoP", proof))
        return HttpRequest(method=method, url=url, headers=(*sent, *headers))

    def forged(
        self,
        fault: str,
        token: str,
        method: str = "GET",
        url: str = "/",
        *,
        nonce: str | None = None,
    ) -> HttpRequest:
        """Return a request whose proof is wrong in one thing and right in everything else.

        Parameters:
            fault: the id of a row of ``portvakt.forge.proof_faults.PROOF_FAULTS``, as ``two``.
            token: the token.
            method: the method.
            url: the request target.
            nonce: the last nonce that the API gave.

        Raises:
            ValueError: if there is no such fault, or it is none here.
        """
        known = {row.id: row for row in PROOF_FAULTS}
        if fault not in known:
            near = get_close_matches(fault, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no fault {fault!r}{meant}")
        proof = self.proof(token, method, url, nonce=nonce)
        if not known[fault].applies(proof):
            raise ValueError(f"the fault {fault!r} is none here")
        sent = tuple(("DPoP", value) for value in known[fault].send(proof))
        credential = ("Authorization", f"DPoP {token}")
        return HttpRequest(method=method, url=url, headers=(credential, *sent))

    def __repr__(self) -> str:
        """Show its key's thumbprint, never the key."""
        return f"FakeClient(thumbprint={self.thumbprint!r})"
