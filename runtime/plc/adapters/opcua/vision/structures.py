"""Structures and events of OPC 40100-1 1.0 that csflow fills, with the node ids of the standard.

A list of fields is written as 'Name:Type', with '?' for an optional field and '[]' for an array; types are those of
`STRUCTURES` and `SIMPLE` or names of OPC UA itself.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ENUMERATION", "EVENTS", "SIMPLE", "STRUCTURES", "EventKind", "Field", "Structure", "fields"]

SIMPLE = {
    "TrimmedString": (3017, "String"),
    "Handle": (3018, "UInt32"),
    "ResultStateDataType": (3009, "Int32"),
}
"""Data types that are another one by a new name: (node id, base)."""
ENUMERATION = ("TriStateBooleanDataType", 3014, 6367, ("FALSE_0", "TRUE_1", "DONTCARE_2"))
"""The data type for yes, no and either: name, node id, node id of its EnumValues, values from 0 on."""


class Field(NamedTuple):
    """A field of a structure, an argument of a method, a property of an event."""

    name: str
    kind: str
    array: bool
    optional: bool


class Structure(NamedTuple):
    """A structure; `base` is empty where it is none of another one here."""

    name: str
    node: int
    encoding: int
    fields: str
    base: str = ""


class EventKind(NamedTuple):
    """A type of event; `properties` has the node id of each field."""

    name: str
    node: int
    base: str
    fields: str = ""
    properties: tuple[int, ...] = ()


def fields(text: str) -> list[Field]:
    """The fields of a list as it is written here."""
    found = []
    for part in text.split():
        name, _, kind = part.partition(":")
        found.append(Field(name, kind.rstrip("?[]"), "[]" in kind, kind.endswith("?")))
    return found


_ID = "Id:TrimmedString Version:TrimmedString? Hash:ByteString? HashAlgorithm:String? Description:LocalizedText?"
_NAMED = "Id:TrimmedString Description:LocalizedText?"
_BASE = "BinaryIdBaseDataType"
_RESULT = (
    "ResultId:ResultIdDataType HasTransferableDataOnFile:Boolean? IsPartial:Boolean IsSimulated:Boolean? "
    "ResultState:ResultStateDataType MeasId:MeasIdDataType? PartId:PartIdDataType? "
    "ExternalRecipeId:RecipeIdExternalDataType? InternalRecipeId:RecipeIdInternalDataType ProductId:ProductIdDataType? "
    "ExternalConfigurationId:ConfigurationIdDataType? InternalConfigurationId:ConfigurationIdDataType "
    "JobId:JobIdDataType CreationTime:UtcTime ProcessingTimes:ProcessingTimesDataType? ResultContent:BaseDataType[]?"
)
STRUCTURES = (
    Structure(_BASE, 3019, 5027, _ID),
    Structure("ConfigurationIdDataType", 3008, 5090, _ID, _BASE),
    Structure("RecipeIdExternalDataType", 3002, 5002, _ID, _BASE),
    Structure("RecipeIdInternalDataType", 3013, 5268, _ID, _BASE),
    Structure("JobIdDataType", 3016, 5008, "Id:TrimmedString"),
    Structure("MeasIdDataType", 3015, 5006, _NAMED),
    Structure("PartIdDataType", 3004, 5013, _NAMED),
    Structure("ProductIdDataType", 3003, 5224, _NAMED),
    Structure("ResultIdDataType", 3021, 5274, "Id:TrimmedString"),
    Structure(
        "ProcessingTimesDataType",
        3005,
        5016,
        "StartTime:UtcTime EndTime:UtcTime AcquisitionDuration:Duration? ProcessingDuration:Duration?",
    ),
    Structure("ResultDataType", 3006, 5018, _RESULT),
)

EVENTS = (
    EventKind("StateChangedEventType", 1018, "TransitionEventType"),
    EventKind("ErrorEventType", 1019, "TransitionEventType"),
    EventKind("ErrorResolvedEventType", 1020, "TransitionEventType"),
    EventKind("JobStartedEventType", 1013, "BaseEventType", "JobId:JobIdDataType", (6141,)),
    EventKind("AcquisitionDoneEventType", 1025, "BaseEventType", "JobId:JobIdDataType", (6308,)),
    EventKind("ReadyEventType", 1023, "BaseEventType", "JobId:JobIdDataType", (6294,)),
    EventKind(
        "RecipePreparedEventType",
        1022,
        "BaseEventType",
        "ExternalId:RecipeIdExternalDataType? InternalId:RecipeIdInternalDataType ProductId:ProductIdDataType?",
        (6291, 6140, 6292),
    ),
    EventKind(
        "ResultReadyEventType",
        1024,
        "BaseEventType",
        _RESULT.replace("HasTransferableDataOnFile:Boolean? ", ""),
        (6295, 6296, 6297, 6298, 6299, 6304, 6301, 6302, 6143, 6045, 6142, 6300, 6303, 6305, 6306),
    ),
)
