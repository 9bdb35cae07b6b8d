"""The state machine of OPC 40100-1 1.0 and its methods, with the node ids that a client compiled against it looks for.

Only what csflow fills is here. Arguments are written as the fields of structures are.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["METHODS", "NAMESPACE", "OBJECTS", "STATES", "TRANSITIONS", "TYPES", "Method", "State", "Transition"]

NAMESPACE = "http://opcfoundation.org/UA/MachineVision"
MACHINE, AUTOMATIC, RECIPES, RESULTS = (
    "VisionStateMachineType",
    "VisionAutomaticModeStateMachineType",
    "RecipeManagementType",
    "ResultManagementType",
)
TYPES = {
    "VisionSystemType": (1003, "BaseObjectType"),
    RECIPES: (1004, "BaseObjectType"),
    RESULTS: (1007, "BaseObjectType"),
    MACHINE: (1017, "FiniteStateMachineType"),
    AUTOMATIC: (1021, "FiniteStateMachineType"),
}
"""Object types: (node id, supertype)."""
OBJECTS = (
    ("VisionSystemType", "VisionStateMachine", 5053, MACHINE, True),
    ("VisionSystemType", "RecipeManagement", 5015, RECIPES, False),
    ("VisionSystemType", "ResultManagement", 5020, RESULTS, False),
    (MACHINE, "AutomaticModeStateMachine", 5024, AUTOMATIC, False),
)
"""Objects that a type declares: (of type, name, node id, type, mandatory)."""


class State(NamedTuple):
    """A state; `property` is the node of its StateNumber."""

    name: str
    node: int
    number: int
    property: int
    machine: str


class Transition(NamedTuple):
    """A way between two states; `cause` is the method that goes it, empty where the system goes by itself."""

    name: str
    node: int
    number: int
    property: int
    machine: str
    before: int
    after: int
    cause: str = ""


class Method(NamedTuple):
    """A method of a type, with the nodes of its arguments; 0 where there are none."""

    name: str
    node: int
    owner: str
    input_node: int
    takes: str
    output_node: int
    gives: str
    mandatory: bool = True


STATES = (
    State("Preoperational", 5028, 1, 6226, MACHINE),
    State("Halted", 5029, 2, 6227, MACHINE),
    State("Error", 5030, 3, 6228, MACHINE),
    State("Operational", 5031, 4, 6229, MACHINE),
    State("Initialized", 5056, 5, 6259, AUTOMATIC),
    State("Ready", 5057, 6, 6260, AUTOMATIC),
    State("SingleExecution", 5058, 7, 6261, AUTOMATIC),
    State("ContinuousExecution", 5059, 8, 6262, AUTOMATIC),
)
TRANSITIONS = (
    Transition("PreoperationalToHalted", 5032, 121, 6230, MACHINE, 1, 2, "Halt"),
    Transition("PreoperationalToHaltedAuto", 5033, 120, 6231, MACHINE, 1, 2),
    Transition("PreoperationalToErrorAuto", 5034, 130, 6232, MACHINE, 1, 3),
    Transition("PreoperationalToOperational", 5253, 141, 6171, MACHINE, 1, 4, "SelectModeAutomatic"),
    Transition("PreoperationalToOperationalAuto", 5254, 140, 6221, MACHINE, 1, 4),
    Transition("PreoperationalToInitialized", 5035, 151, 6233, MACHINE, 1, 5, "SelectModeAutomatic"),
    Transition("PreoperationalToInitializedAuto", 5036, 150, 6234, MACHINE, 1, 5),
    Transition("HaltedToPreoperational", 5037, 211, 6235, MACHINE, 2, 1, "Reset"),
    Transition("HaltedToPreoperationalAuto", 5038, 210, 6236, MACHINE, 2, 1),
    Transition("ErrorToPreoperational", 5039, 311, 6237, MACHINE, 3, 1, "Reset"),
    Transition("ErrorToPreoperationalAuto", 5040, 310, 6238, MACHINE, 3, 1),
    Transition("ErrorToHalted", 5041, 321, 6239, MACHINE, 3, 2, "Halt"),
    Transition("ErrorToHaltedAuto", 5042, 320, 6240, MACHINE, 3, 2),
    Transition("ErrorToOperationalAuto", 5255, 340, 6341, MACHINE, 3, 4),
    Transition("OperationalToPreoperational", 5047, 411, 6245, MACHINE, 4, 1, "Reset"),
    Transition("OperationalToPreoperationalAuto", 5048, 410, 6246, MACHINE, 4, 1),
    Transition("OperationalToHalted", 5049, 421, 6247, MACHINE, 4, 2, "Halt"),
    Transition("OperationalToHaltedAuto", 5050, 420, 6248, MACHINE, 4, 2),
    Transition("OperationalToErrorAuto", 5051, 430, 6249, MACHINE, 4, 3),
    Transition("InitializedToReadyRecipe", 5060, 561, 6263, AUTOMATIC, 5, 6, "PrepareRecipe"),
    Transition("InitializedToReadyAuto", 5061, 560, 6264, AUTOMATIC, 5, 6),
    Transition("ReadyToInitializedRecipe", 5062, 651, 6265, AUTOMATIC, 6, 5, "UnprepareRecipe"),
    Transition("ReadyToInitializedAuto", 5063, 650, 6266, AUTOMATIC, 6, 5),
    Transition("ReadyToSingleExecution", 5064, 671, 6267, AUTOMATIC, 6, 7, "StartSingleJob"),
    Transition("ReadyToSingleExecutionAuto", 5065, 670, 6268, AUTOMATIC, 6, 7),
    Transition("ReadyToContinuousExecution", 5066, 681, 6269, AUTOMATIC, 6, 8, "StartContinuous"),
    Transition("ReadyToContinuousExecutionAuto", 5067, 680, 6270, AUTOMATIC, 6, 8),
    Transition("SingleExecutionToReadyStop", 5068, 761, 6271, AUTOMATIC, 7, 6, "Stop"),
    Transition("SingleExecutionToReadyAbort", 5069, 762, 6272, AUTOMATIC, 7, 6, "Abort"),
    Transition("SingleExecutionToReadyAuto", 5070, 760, 6273, AUTOMATIC, 7, 6),
    Transition("ContinuousExecutionToReadyStop", 5071, 861, 6274, AUTOMATIC, 8, 6, "Stop"),
    Transition("ContinuousExecutionToReadyAbort", 5072, 862, 6275, AUTOMATIC, 8, 6, "Abort"),
    Transition("ContinuousExecutionToReadyAuto", 5073, 860, 6276, AUTOMATIC, 8, 6),
)

_CAUSE, _ERROR = "Cause:Int32 CauseDescription:String", "Error:Int32"
_JOB = (
    "MeasId:MeasIdDataType PartId:PartIdDataType RecipeId:RecipeIdExternalDataType ProductId:ProductIdDataType "
    "Parameters:BaseDataType[]"
)
_FOUND = "ResultId:ResultIdDataType Timeout:Int32"
METHODS = (
    Method("Halt", 7094, MACHINE, 6254, _CAUSE, 6255, _ERROR),
    Method("Reset", 7093, MACHINE, 6256, _CAUSE, 6257, _ERROR),
    Method("SelectModeAutomatic", 7095, MACHINE, 0, "", 6258, _ERROR, mandatory=False),
    Method("StartSingleJob", 7098, AUTOMATIC, 6281, _JOB, 6282, f"JobId:JobIdDataType {_ERROR}"),
    Method("StartContinuous", 7009, AUTOMATIC, 6086, _JOB, 6087, f"JobId:JobIdDataType {_ERROR}"),
    Method("Stop", 7096, AUTOMATIC, 6287, _CAUSE, 6288, _ERROR),
    Method("Abort", 7097, AUTOMATIC, 6285, _CAUSE, 6286, _ERROR),
    Method(
        "PrepareRecipe",
        7015,
        RECIPES,
        6148,
        "ExternalId:RecipeIdExternalDataType InternalIdIn:RecipeIdInternalDataType",
        6149,
        f"InternalIdOut:RecipeIdInternalDataType IsCompleted:Boolean {_ERROR}",
    ),
    Method(
        "UnprepareRecipe",
        7055,
        RECIPES,
        6152,
        "ExternalId:RecipeIdExternalDataType InternalIdIn:RecipeIdInternalDataType",
        6153,
        f"InternalIdOut:RecipeIdInternalDataType {_ERROR}",
    ),
    Method(
        "GetRecipeListFiltered",
        7014,
        RECIPES,
        6156,
        "ExternalId:RecipeIdExternalDataType ProductId:ProductIdDataType IsPrepared:TriStateBooleanDataType "
        "MaxResults:UInt32 StartIndex:UInt32 Timeout:Int32",
        6157,
        "IsComplete:Boolean ResultCount:UInt32 RecipeHandle:Handle RecipeList:RecipeIdInternalDataType[] " + _ERROR,
    ),
    Method("GetResultById", 7026, RESULTS, 6209, _FOUND, 6210, f"ResultHandle:Handle Result:ResultDataType {_ERROR}"),
    Method(
        "GetResultComponentsById",
        7007,
        RESULTS,
        6024,
        _FOUND,
        6025,
        "HasTransferableDataOnFile:Boolean ResultHandle:Handle IsPartial:Boolean IsSimulated:Boolean "
        "ResultState:ResultStateDataType MeasId:MeasIdDataType PartId:PartIdDataType "
        "ExternalRecipeId:RecipeIdExternalDataType InternalRecipeId:RecipeIdInternalDataType "
        "ProductId:ProductIdDataType ExternalConfigurationId:ConfigurationIdDataType "
        "InternalConfigurationId:ConfigurationIdDataType JobId:JobIdDataType CreationTime:UtcTime "
        f"ProcessingTimes:ProcessingTimesDataType ResultContent:BaseDataType[] {_ERROR}",
    ),
    Method(
        "GetResultListFiltered",
        7089,
        RESULTS,
        6213,
        "ResultState:ResultStateDataType MeasId:MeasIdDataType PartId:PartIdDataType "
        "ExternalRecipeId:RecipeIdExternalDataType InternalRecipeId:RecipeIdInternalDataType "
        "ExternalConfigurationId:ConfigurationIdDataType InternalConfigurationId:ConfigurationIdDataType "
        "ProductId:ProductIdDataType JobId:JobIdDataType MaxResults:UInt32 StartIndex:UInt32 Timeout:Int32",
        6214,
        f"IsComplete:Boolean ResultCount:UInt32 ResultHandle:Handle ResultList:ResultDataType[] {_ERROR}",
    ),
)
