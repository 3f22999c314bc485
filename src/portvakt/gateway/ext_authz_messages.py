"""The messages of Envoy's external authorization, as far as they are used here.

Facts of ``envoy.service.auth.v3``: which number each field has, and of what kind it is. On the wire
a message is just that, so names are free; ours are Envoy's. Whatever else Envoy sends is skipped,
as protobuf skips what it does not know. Three kinds are written otherwise, with the same octets:

- what a caller wrote (method, path, header) is octets here, and text there: callers need not write
  UTF-8;
- the map of headers is a list here: a key that came twice is seen twice;
- an enumeration is a number.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from portvakt.errors import ConfigurationError

try:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import DecodeError
    from google.protobuf.message_factory import GetMessageClass
except ImportError as error:
    raise ConfigurationError("protobuf is missing: pip install 'portvakt[grpc]'") from error

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CheckRequest", "CheckResponse", "DecodeError"]

_PACKAGE: Final = "envoy.service.auth.v3"

_NUMBER: Final = FieldDescriptorProto.TYPE_INT32
_OCTETS: Final = FieldDescriptorProto.TYPE_BYTES
_TEXT: Final = FieldDescriptorProto.TYPE_STRING
_OPTIONAL: Final = FieldDescriptorProto.LABEL_OPTIONAL
_REPEATED: Final = FieldDescriptorProto.LABEL_REPEATED


class _Field(NamedTuple):
    """One field: what protobuf calls its type, or the message that it holds, and how often."""

    name: str
    number: int
    kind: FieldDescriptorProto.Type.ValueType | str
    repeated: bool = False


#: By message: its fields.
_MESSAGES: Final[Mapping[str, tuple[_Field, ...]]] = MappingProxyType(
    {
        # What Envoy asks: service/auth/v3/attribute_context.proto.
        "CheckRequest": (_Field("attributes", 1, "AttributeContext"),),
        "AttributeContext": (_Field("source", 1, "Peer"), _Field("request", 4, "Request")),
        "Peer": (_Field("certificate", 5, _OCTETS),),
        "Request": (_Field("http", 2, "HttpRequest"),),
        "HttpRequest": (
            _Field("method", 2, _OCTETS),
            _Field("headers", 3, "HeaderValue", repeated=True),
            _Field("path", 4, _OCTETS),
            _Field("header_map", 13, "HeaderMap"),
        ),
        # What is answered: service/auth/v3/external_auth.proto, google/rpc/status.proto.
        "CheckResponse": (
            _Field("status", 1, "Status"),
            _Field("denied_response", 2, "DeniedHttpResponse"),
            _Field("ok_response", 3, "OkHttpResponse"),
        ),
        "Status": (_Field("code", 1, _NUMBER), _Field("message", 2, _TEXT)),
        "DeniedHttpResponse": (
            _Field("status", 1, "HttpStatus"),
            _Field("headers", 2, "HeaderValueOption", repeated=True),
            _Field("body", 3, _TEXT),
        ),
        "OkHttpResponse": (
            _Field("headers", 2, "HeaderValueOption", repeated=True),
            _Field("headers_to_remove", 5, _TEXT, repeated=True),
            _Field("response_headers_to_add", 6, "HeaderValueOption", repeated=True),
        ),
        "HttpStatus": (_Field("code", 1, _NUMBER),),
        # Of both: config/core/v3/base.proto. The map of headers has entries of the same form.
        "HeaderMap": (_Field("headers", 1, "HeaderValue", repeated=True),),
        "HeaderValue": (
            _Field("key", 1, _OCTETS),
            _Field("value", 2, _OCTETS),
            _Field("raw_value", 3, _OCTETS),
        ),
        "HeaderValueOption": (
            _Field("header", 1, "HeaderValue"),
            _Field("append_action", 3, _NUMBER),
        ),
    }
)


def _declared() -> DescriptorPool:
    """Declare the messages, in a pool of their own: others may have Envoy's in the common one."""
    file = FileDescriptorProto(name="portvakt/ext_authz.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            declared = message.field.add(name=field.name, number=field.number)
            declared.label = _REPEATED if field.repeated else _OPTIONAL
            if isinstance(field.kind, str):
                declared.type = FieldDescriptorProto.TYPE_MESSAGE
                declared.type_name = f".{_PACKAGE}.{field.kind}"
            else:
                declared.type = field.kind
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


_pool: Final = _declared()

#: Classes that protobuf makes when it runs: no type checker knows their fields.
CheckRequest: Final[Any] = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.CheckRequest"))
CheckResponse: Final[Any] = GetMessageClass(
    _pool.FindMessageTypeByName(f"{_PACKAGE}.CheckResponse")
)
