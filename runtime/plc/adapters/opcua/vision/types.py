"""Builds the types of `tables` in a server's address space, with the node ids of the standard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from csflow.runtime.plc.adapters.opcua.vision.structures import (
    ENUMERATION,
    EVENTS,
    SIMPLE,
    STRUCTURES,
    EventKind,
    Field,
    Structure,
    fields,
)
from csflow.runtime.plc.adapters.opcua.vision.tables import (
    METHODS,
    NAMESPACE,
    OBJECTS,
    STATES,
    TRANSITIONS,
    TYPES,
    Method,
    State,
    Transition,
)

__all__ = ["Types", "add_instance", "add_types", "standard"]

Call = Callable[..., Awaitable[list[Any]]]


class Types:
    """The namespace of the companion in one server."""

    def __init__(self, server: Any, index: int) -> None:
        self.server, self.index = server, index
        self._data = {name: number for name, (number, _) in SIMPLE.items()}
        self._data |= {one.name: one.node for one in STRUCTURES} | {ENUMERATION[0]: ENUMERATION[1]}

    def id(self, number: int) -> Any:
        """The node id of this number."""
        from asyncua import ua

        return ua.NodeId(number, self.index)

    def node(self, number: int) -> Any:
        """The node of this number."""
        return self.server.get_node(self.id(number))

    def name(self, text: str) -> Any:
        """The browse name."""
        from asyncua import ua

        return ua.QualifiedName(text, self.index)

    def data_type(self, kind: str) -> Any:
        """The node id of a data type, of the companion or of OPC UA."""
        return self.id(self._data[kind]) if kind in self._data else standard(kind)

    def empty(self, field: Field) -> Any:
        """A variant of the field's type that says nothing."""
        from asyncua import ua

        if any(one.name == field.kind for one in STRUCTURES):
            return ua.Variant(getattr(ua, field.kind)(), ua.VariantType.ExtensionObject)
        base = {"Duration": "Double", "UtcTime": "DateTime", "BaseDataType": "Variant"}.get(field.kind, field.kind)
        kind = ua.VariantType[SIMPLE[base][1] if base in SIMPLE else base]
        return ua.Variant([] if field.array else ua.get_default_value(kind), kind, is_array=field.array)


async def add_types(server: Any, calls: Mapping[str, Call]) -> Types:
    """Add the types; `calls` has what each method does, by its name."""
    types = Types(server, await server.register_namespace(NAMESPACE))
    await _add_data_types(types)
    for name, (number, base) in TYPES.items():
        await _ns0(types, base).add_object_type(types.id(number), types.name(name))
    for owner, name, number, kind, mandatory in OBJECTS:
        parent, of_type = types.node(TYPES[owner][0]), types.id(TYPES[kind][0])
        made = await add_instance(types.server, parent, types.id(number), types.name(name), of_type)
        await made.set_modelling_rule(mandatory)
    for method in METHODS:
        await _add_method(types, method, calls[method.name])
    for one in STATES:
        await _add_numbered(types, one, "StateType", "StateNumber")
    for step in TRANSITIONS:
        await _add_transition(types, step)
    for event in EVENTS:
        await _add_event(types, event)
    return types


async def add_instance(server: Any, parent: Any, node: Any, name: Any, kind: Any, text: bool = False) -> Any:
    """Add an object, or with `text` a variable that holds a LocalizedText, and nothing of what its type declares.

    Args:
        server: an asyncua server.
        parent: node that has it as a component.
        node: its node id.
        name: its browse name.
        kind: node id of its type.
        text: see above.
    """
    from asyncua import ua

    shown = ua.LocalizedText(name.Name)
    value = ua.Variant(ua.LocalizedText(""), ua.VariantType.LocalizedText)
    item = ua.AddNodesItem(
        RequestedNewNodeId=node,
        BrowseName=name,
        ParentNodeId=parent.nodeid,
        ReferenceTypeId=standard("HasComponent"),
        TypeDefinition=kind,
        NodeClass=ua.NodeClass.Variable if text else ua.NodeClass.Object,
        NodeAttributes=ua.VariableAttributes(
            DisplayName=shown, Value=value, DataType=standard("LocalizedText"), ValueRank=-1
        )
        if text
        else ua.ObjectAttributes(DisplayName=shown),
    )
    (added,) = await server.iserver.isession.add_nodes([item])
    added.StatusCode.check()
    return server.get_node(added.AddedNodeId)


def standard(name: str) -> Any:
    """The node id of something of OPC UA itself."""
    from asyncua import ua

    return ua.NodeId(getattr(ua.ObjectIds, name))


def _ns0(types: Types, name: str) -> Any:
    return types.server.get_node(standard(name))


async def _add_data_types(types: Types) -> None:
    from asyncua import ua

    for name, (number, base) in SIMPLE.items():
        await _ns0(types, base).add_data_type(types.id(number), types.name(name))
        # asyncua takes a name that OPC UA has too, as TrimmedString, for known already.
        ua.basetype_by_datatype[types.id(number)] = base
    name, number, texts, words = ENUMERATION
    node = await _ns0(types, "Enumeration").add_data_type(types.id(number), types.name(name))
    values = [ua.EnumField(Name=word, DisplayName=ua.LocalizedText(word), Value=at) for at, word in enumerate(words)]
    await node.write_data_type_definition(ua.EnumDefinition(values))
    told = [ua.EnumValueType(Value=at, DisplayName=ua.LocalizedText(word)) for at, word in enumerate(words)]
    await node.add_property(types.id(texts), ua.QualifiedName("EnumValues"), ua.Variant(told))
    numbers = {one.name: one.node for one in STRUCTURES}
    for one in STRUCTURES:
        parent = types.node(numbers[one.base]) if one.base else _ns0(types, "Structure")
        await _add_structure(types, one, parent)
    await types.server.load_data_type_definitions()


async def _add_structure(types: Types, one: Structure, parent: Any) -> None:
    from asyncua import ua
    from asyncua.common.manage_nodes import create_encoding

    node = await parent.add_data_type(types.id(one.node), types.name(one.name))
    encoding = await create_encoding(node, types.id(one.encoding), ua.QualifiedName("Default Binary"))
    told = [
        ua.StructureField(
            Name=field.name,
            DataType=types.data_type(field.kind),
            ValueRank=1 if field.array else -1,
            ArrayDimensions=[0] if field.array else None,
            IsOptional=field.optional,
        )
        for field in fields(one.fields)
    ]
    optional = any(field.IsOptional for field in told)
    kind = ua.StructureType.StructureWithOptionalFields if optional else ua.StructureType.Structure
    await node.write_data_type_definition(ua.StructureDefinition(encoding.nodeid, parent.nodeid, kind, told))


async def _add_method(types: Types, method: Method, call: Call) -> None:
    from asyncua import ua

    owner = types.node(TYPES[method.owner][0])
    node = await owner.add_method(types.id(method.node), types.name(method.name), call)
    await node.set_modelling_rule(method.mandatory)
    for name, number, text in (
        ("InputArguments", method.input_node, method.takes),
        ("OutputArguments", method.output_node, method.gives),
    ):
        told = [
            ua.Argument(
                Name=field.name,
                DataType=types.data_type(field.kind),
                ValueRank=1 if field.array else -1,
                ArrayDimensions=[0] if field.array else [],
            )
            for field in fields(text)
        ]
        if told:
            variant = ua.Variant(told, ua.VariantType.ExtensionObject)
            await node.add_property(types.id(number), ua.QualifiedName(name), variant, datatype=standard("Argument"))


async def _add_numbered(types: Types, one: State | Transition, kind: str, number: str) -> Any:
    from asyncua import ua

    owner = types.node(TYPES[one.machine][0])
    node = await add_instance(types.server, owner, types.id(one.node), types.name(one.name), standard(kind))
    variant = ua.Variant(one.number, ua.VariantType.UInt32)
    await node.add_property(types.id(one.property), ua.QualifiedName(number), variant)
    return node


async def _add_transition(types: Types, step: Transition) -> None:
    node = await _add_numbered(types, step, "TransitionType", "TransitionNumber")
    states = {one.number: one.node for one in STATES}
    for name, number in (("FromState", states[step.before]), ("ToState", states[step.after])):
        await node.add_reference(types.id(number), standard(name), bidirectional=True)
    if step.cause:
        cause = next(method.node for method in METHODS if method.name == step.cause)
        await node.add_reference(types.id(cause), standard("HasCause"), bidirectional=True)


async def _add_event(types: Types, event: EventKind) -> None:
    node = await _ns0(types, event.base).add_object_type(types.id(event.node), types.name(event.name))
    for field, number in zip(fields(event.fields), event.properties, strict=True):
        told = await node.add_property(
            types.id(number), types.name(field.name), types.empty(field), datatype=types.data_type(field.kind)
        )
        await told.set_modelling_rule(not field.optional)
