"""Look through a Django project's URLs for views that nobody guards."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import (
    IntConverter,
    SlugConverter,
    StringConverter,
    UUIDConverter,
)
from django.urls.resolvers import RegexPattern, RoutePattern

from portvakt.adapters.demands import stated
from portvakt.adapters.forgotten import EVERY, Inspection, template_of
from portvakt.guard import Guard, Requirement, Routes

__all__ = ["demands_of", "inspect_urls"]

#: Those that take one segment at most. Exactly these: one for whole paths is derived from one.
_ONE_SEGMENT: Final = (IntConverter, SlugConverter, StringConverter, UUIDConverter)

#: A parameter of ``path()``, or of a regular expression that was simplified.
_PARAMETER: Final = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")

#: Frameworks whose own answer to OPTIONS calls no view.
_FRAMEWORKS: Final = ("django.", "rest_framework.")

_ADVICE: Final = (
    "give each view @guard.requires(scopes=[...]), or a [[route]] in the policy with its scopes, "
    "or with public = true if everyone may use it"
)


def inspect_urls(guard: Guard, urlconf: str | None = None) -> Inspection:
    """Look at every view of a project.

    A view counts as guarded if it carries a demand of the guard's: on itself, on the method of its
    class that is called, or among the permissions of Django REST framework. A regular expression is
    read as a template as far as that goes; what cannot be read, no rule covers.

    Parameters:
        guard: whose rules and demands count.
        urlconf: whose URLs; those of ``ROOT_URLCONF`` by default.
    """
    inspection = Inspection(guard.routes, _ADVICE)
    _walk(inspection, guard, get_resolver(urlconf).url_patterns, "/")
    return inspection


def _walk(
    inspection: Inspection,
    guard: Guard,
    patterns: Sequence[Any],
    prefix: str,
    *,
    ruled: bool = False,
    public: bool = False,
) -> None:
    for one in patterns:
        path = prefix + _path_of(one)
        if isinstance(one, URLResolver):
            every, everyone = inspection.within(
                template_of(path).rstrip("/"), ruled=ruled, public=public
            )
            _walk(inspection, guard, one.url_patterns, path, ruled=every, public=everyone)
        elif isinstance(one, URLPattern):
            template = template_of(path)
            for method in _methods(one.callback) or _methods_ruled(guard.routes, template):
                demands = demands_of(one.callback, method, guard)
                inspection.look_at(
                    path, [method], demands, template=template, ruled=ruled, public=public
                )


def _path_of(one: URLPattern | URLResolver) -> str:
    """Return the part of a path that a pattern is for, with ``{name}`` for each parameter."""
    pattern = one.pattern
    if isinstance(pattern, RoutePattern):
        converters: Mapping[str, Any] = pattern.converters

        def parameter(found: re.Match[str]) -> str:
            one_segment = type(converters.get(found[1])) in _ONE_SEGMENT
            return f"{{{found[1]}}}" if one_segment else f"{{{found[1]}:path}}"

        return _PARAMETER.sub(parameter, str(pattern))
    if isinstance(pattern, RegexPattern):
        return _PARAMETER.sub(r"{\1}", simplify_regex(str(pattern)).removeprefix("/"))
    # A prefix that depends on the language, or a pattern of the project's own.
    return "{?}"


def _methods(view: Any) -> list[str]:
    """Return the methods that a class answers; none for a function, which does not say.

    HEAD is left out: without a rule of its own it is refused. So is OPTIONS, as far as the
    framework answers it.
    """
    cls = _class_of(view)
    if cls is None:
        return []
    left_out = {"head", "options"} if _is_frameworks(cls) else {"head"}
    return [
        name.upper()
        for name in sorted(cls.http_method_names)
        if name not in left_out and _handler(view, cls, name) is not None
    ]


def _methods_ruled(rules: Routes, template: str) -> list[str]:
    """Return the methods that rules are for, for a view that does not say which it answers.

    It is not called for any other: such a request is refused before it.
    """
    listed = {method for rule in rules.rules for method in rule.methods or ()}
    return [method for method in sorted(listed) if rules.covers(template, method)] or [EVERY]


def demands_of(view: Any, method: str, guard: Guard) -> tuple[Requirement, ...]:
    """Return what a view demands of a request with a method.

    Parameters:
        view: what a URL leads to.
        method: the method of the request.
        guard: whose demands count.
    """
    found = stated(view, guard)
    cls = _class_of(view)
    if cls is None:
        return found
    handler = _handler(view, cls, method.lower())
    permissions = _permissions(view, cls)
    return (
        *found,
        *(stated(handler, guard) if handler is not None else ()),
        *(one for permission in permissions for one in stated(permission, guard)),
    )


def _class_of(view: Any) -> Any:
    """Return the class of a class-based view, Django's or Django REST framework's."""
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def _handler(view: Any, cls: Any, method: str) -> Any:
    """Return what a class calls for a method; a set of views names it in ``actions``."""
    actions: Mapping[str, str] | None = getattr(view, "actions", None)
    name = method if actions is None else actions.get(method)
    if method == "head" and (name is None or not hasattr(cls, name)):
        # Django answers HEAD with what answers GET.
        name = "get" if actions is None else actions.get("get")
    if method == "options" and actions is not None:
        name = "options"
    return getattr(cls, name, None) if name else None


def _is_frameworks(cls: Any) -> bool:
    """Whether the framework's own answer to OPTIONS is given."""
    return getattr(cls.options, "__module__", "").startswith(_FRAMEWORKS)


def _permissions(view: Any, cls: Any) -> Iterator[Any]:
    """Return the permissions of Django REST framework all of which a view asks for."""
    chosen = getattr(cls, "get_permissions", None)
    if chosen is None or not chosen.__module__.startswith(_FRAMEWORKS):
        return  # A class that chooses them when it is called may choose others.
    initial: Mapping[str, Any] = getattr(view, "initkwargs", {})
    pending = list(initial.get("permission_classes", getattr(cls, "permission_classes", ())))
    while pending:
        one = pending.pop()
        if getattr(getattr(one, "operator_class", None), "__name__", None) == "AND":
            pending += [one.op1_class, one.op2_class]
        else:
            yield one
