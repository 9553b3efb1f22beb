"""How values become bytes and come back exactly: by name, or by the type of the value."""

from __future__ import annotations

from dataflow_results.serializers.arrays import NumpySerializer
from dataflow_results.serializers.compressed import CompressedSerializer
from dataflow_results.serializers.pickles import PickleSerializer
from dataflow_results.serializers.protocol import Dumped, Serializer, TreeSerializer, dump_each, load_each
from dataflow_results.serializers.registry import (
    AnySerializer,
    choose,
    find_serializer,
    known_serializers,
    register_serializer,
    resolve,
)
from dataflow_results.serializers.tables import ArrowSerializer, ParquetSerializer
from dataflow_results.serializers.texts import BytesSerializer, JsonSerializer, TextSerializer
from dataflow_results.serializers.trees import ZarrSerializer

__all__ = [
    "AnySerializer",
    "ArrowSerializer",
    "BytesSerializer",
    "CompressedSerializer",
    "Dumped",
    "JsonSerializer",
    "NumpySerializer",
    "ParquetSerializer",
    "PickleSerializer",
    "Serializer",
    "TextSerializer",
    "TreeSerializer",
    "ZarrSerializer",
    "choose",
    "dump_each",
    "find_serializer",
    "known_serializers",
    "load_each",
    "register_serializer",
    "resolve",
]
