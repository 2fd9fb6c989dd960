"""Brings a running sandbox back to what it was when it started, without starting it anew."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson_placeholder
