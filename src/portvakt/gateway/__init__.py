"""Portvakt in front of APIs in any language: a proxy asks it about every request."""
