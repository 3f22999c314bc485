"""A token explained: the guard judges it, and here is told how it came to that.

The guard keeps no record of its checks. Their order is fixed, so the step of a refusal tells which
checks passed before it and which were never reached; the story is made of that.
"""

from typing import Any, Final, Literal

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.explain.content import UnverifiedContent, take_apart
from portvakt.explain.found import Scene, find
from portvakt.explain.texts import CodeText, Texts, load
from portvakt.guard.guard import Guard
from portvakt.http.request import HttpRequest
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import DOTS_OF_JWE
from portvakt.policy.decision import Decision
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.sender_constraint import SenderConstraint
from portvakt.refusal import Code, Step

__all__ = ["Explanation", "Outcome", "StepExplanation", "Verdict", "explain"]

Verdict = Literal["admitted", "refused", "cannot tell"]
Outcome = Literal["passed", "failed", "not reached"]

#: The status of a refusal that says nothing about the token.
_UNAVAILABLE: Final = 503

#: Where what was found is what the token says, so that without a signature it may be made up.
_SAID_BY_TOKEN: Final = frozenset(Step) - {
    Step.REQUEST,
    Step.ROUTE,
    Step.CREDENTIAL,
    Step.FORM,
    Step.SIGNATURE,
}


class StepExplanation(Struct, frozen=True):
    """One check: how it went, and why.

    Attributes:
        step: which one.
        outcome: how it went.
        title: its name.
        question: what it asks.
        found: what was found, safe to print; None where there is nothing to show.
        expected: what the policy wants there; None where it wants nothing in particular.
        unverified: whether *found* is what the token says without a signature to vouch for it.
        why: why it went so.
        advice: the piece of advice that it answers.
    """

    step: Step
    outcome: Outcome
    title: str
    question: str
    found: str | None
    expected: str | None
    unverified: bool
    why: str
    advice: str

    # What is found may be personal: neither repr shows it.
    def __repr__(self) -> str:
        """Show which check, and how it went."""
        return f"StepExplanation({self.step.name}, {self.outcome!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("step", self.step.name), ("outcome", self.outcome)]


class Explanation(Struct, frozen=True):
    """What became of a token, and why.

    Attributes:
        verdict: what the guard decided; "cannot tell" if it could not.
        headline: the same in a sentence.
        at: the time by which it was judged, in seconds since 1970; None if the guard was not asked.
        steps: every check, in order.
        code: the reason for a refusal, or None.
        text: the reason in words, or None.
        detail: what the operator's log says, or None.
        status: the HTTP status of the answer to the caller; None if the API answers.
        challenge: the ``WWW-Authenticate`` header of that answer, or None.
        sentence: the one sentence that the caller is told, or None.
    """

    verdict: Verdict
    headline: str
    at: float | None
    steps: tuple[StepExplanation, ...]
    code: Code | None
    text: CodeText | None
    detail: str | None
    status: int | None
    challenge: str | None
    sentence: str | None

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data, with names that stay as they are."""
        text = self.text
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "at": self.at,
            "code": self.code.value if self.code is not None else None,
            "step": self.code.step.name.lower() if self.code is not None else None,
            "status": self.status,
            "challenge": self.challenge,
            "sentence": self.sentence,
            "detail": self.detail,
            "what": text.what if text is not None else None,
            "why": text.why if text is not None else None,
            "remedy": text.remedy if text is not None else None,
            "steps": [
                {
                    "step": one.step.name.lower(),
                    "outcome": one.outcome,
                    "title": one.title,
                    "question": one.question,
                    "found": one.found,
                    "expected": one.expected,
                    "unverified": one.unverified,
                    "why": one.why,
                    "advice": one.advice,
                }
                for one in self.steps
            ],
        }

    def __repr__(self) -> str:
        """Show the verdict and the reason."""
        return f"Explanation({self.verdict!r}, {self.code})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("verdict", self.verdict), ("code", self.code)]


def explain(
    guard: Guard,
    token: str,
    *,
    method: str = "GET",
    url: str | None = None,
    proof: str | None = None,
    language: str = "en",
) -> Explanation:
    """Let a guard judge a token, and explain each of its checks.

    Whatever the token is, an explanation comes out. It holds neither the token nor, of its claims,
    more than names and the values of ``iss``, ``aud``, ``exp``, ``nbf``, ``iat``, ``scope`` and
    ``client_id``.

    Parameters:
        guard: whose policy it is judged by.
        token: the token, without ``Bearer``.
        method: the method of the request that carries it.
        url: the target of that request; None to judge the token by what the API demands of every
            request, though no route of the policy may be for this one.
        proof: the DPoP proof that comes with it; None: the token is sent as ``Bearer``. It is used
            up, unless the guard was made for a rehearsal.
        language: one of :data:`~portvakt.explain.LANGUAGES`.

    Raises:
        ConfigurationError: if there are no texts in this language.
    """
    texts = load(language)
    request = HttpRequest(
        method=method,
        url="/" if url is None else url,
        headers=(
            (("Authorization", f"Bearer {token}"),)
            if proof is None
            else (("Authorization", f"DPoP {token}"), ("DPoP", proof))
        ),
    )
    # A requirement that demands nothing: without a rule, the token itself is what is judged.
    requirement = Requirement.of(sender_constraint=SenderConstraint.EITHER) if url is None else None
    decision = guard.check_blocking(request, requirement)
    outcomes = {step: _outcome(step, decision) for step in Step}
    by_reference = guard.parts.introspection is not None and "." not in token
    opened = _opened(guard, token)
    if opened is not None and outcomes[Step.FORM] == "failed":
        # What it holds has not the form of a signed token, and for that it was opened first.
        outcomes |= dict.fromkeys((Step.INTROSPECTION, Step.DECRYPTION), "passed")
    content = take_apart(token, opened)
    if by_reference:
        # It says nothing by itself, but its issuer may have.
        said = None if decision.token is None else decision.token.claims
        content = UnverifiedContent(content.length, content.parts, None, None, said)
        outcomes |= dict.fromkeys(_OF_SIGNED, "not reached")
    named = (content.claims or {}).get("iss")
    issuer = guard.issuers.get(named) if isinstance(named, str) else None
    scene = Scene(
        guard=guard,
        request=None if url is None else request,
        decision=decision,
        content=content,
        issuer=issuer,
        # Only where the guard has asked for them too: it has, when it came to a verdict on the key.
        keys=_keys(guard, issuer) if outcomes[Step.KEY] != "not reached" else None,
        words=texts.words,
        by_reference=by_reference,
        proven=proof is not None,
    )
    genuine = by_reference or outcomes[Step.SIGNATURE] == "passed"
    steps = tuple(
        _explain_step(scene, step, outcomes[step], texts, genuine=genuine) for step in Step
    )
    return _conclude(decision, steps, texts)


def _outcome(step: Step, decision: Decision) -> Outcome:
    refusal = decision.refusal
    if refusal is None:
        # On a public route nobody looks at the credential.
        return "passed" if decision.token is not None or step <= Step.ROUTE else "not reached"
    code = refusal.code
    if step > code.step:
        return "not reached"
    if step < code.step:
        return "passed"
    # What could not be checked has not failed.
    return "not reached" if code.status == _UNAVAILABLE else "failed"


def _opened(guard: Guard, token: str) -> str | None:
    """Return the signed token that an encrypted one holds, if it can be opened here."""
    decryption = guard.parts.decryption
    if decryption is None or token.count(".") != DOTS_OF_JWE:
        return None
    try:
        return decryption.decrypt(token)
    except Refused:
        return None


def _keys(guard: Guard, issuer: TrustedIssuer | None) -> JwkSet | None:
    return None if issuer is None else guard.keys.current(issuer)


def _explain_step(
    scene: Scene, step: Step, outcome: Outcome, texts: Texts, *, genuine: bool
) -> StepExplanation:
    text = texts.step[step]
    fact = find(scene, step)
    return StepExplanation(
        step=step,
        outcome=outcome,
        title=text.title,
        question=text.question,
        found=fact.found,
        expected=fact.expected,
        unverified=fact.found is not None and not genuine and step in _SAID_BY_TOKEN,
        why=_why(scene, step, outcome, texts),
        advice=text.advice,
    )


#: What is not looked at in a token that says nothing by itself.
_OF_SIGNED: Final = frozenset(step for step in Step if Step.DECRYPTION <= step <= Step.SIGNATURE)


def _why(scene: Scene, step: Step, outcome: Outcome, texts: Texts) -> str:
    decision, words = scene.decision, texts.words
    if scene.by_reference and step in _OF_SIGNED:
        return words.of_signed
    if outcome == "passed":
        return texts.step[step].passed
    if decision.refusal is None:
        return words.not_needed
    code = decision.refusal.code
    if outcome == "failed":
        return texts.code[code].what
    if code is Code.INTERNAL_ERROR:
        return words.not_known
    title = texts.step[code.step].title
    if code.status != _UNAVAILABLE:
        return words.not_reached.format(title=title)
    return texts.code[code].what if step is code.step else words.not_made.format(title=title)


def _conclude(decision: Decision, steps: tuple[StepExplanation, ...], texts: Texts) -> Explanation:
    refusal, response, words = decision.refusal, decision.response, texts.words
    if refusal is None or response is None:
        headline = words.admitted if decision.token is not None else words.admitted_public
        return Explanation(
            verdict="admitted",
            headline=headline if response is None else words.answered,
            at=decision.at,
            steps=steps,
            code=None,
            text=None,
            detail=None,
            status=None if response is None else response.status,
            challenge=None,
            sentence=None,
        )
    code = refusal.code
    undecided = code.status == _UNAVAILABLE
    return Explanation(
        verdict="cannot tell" if undecided else "refused",
        headline=words.cannot_tell if undecided else words.refused,
        at=decision.at,
        steps=steps,
        code=code,
        text=texts.code[code],
        detail=refusal.detail,
        status=code.status,
        challenge=dict(response.headers).get("WWW-Authenticate"),
        sentence=code.sentence,
    )
