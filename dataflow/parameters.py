"""Parameters of flows: `Parameter` of the graph door, and the validation of arguments by annotation in both doors."""

from __future__ import annotations

import inspect
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import pydantic
from pydantic import ConfigDict, Field

from dataflow.context import current_flow
from dataflow.errors import ParameterError, UsageError
from dataflow.functions import annotation_names, plain_function
from dataflow.graph.nodes import Constant, Graph, Node, TaskSpec
from dataflow.handles import Handle

if TYPE_CHECKING:
    from dataflow.flow_graph import FlowGraph

__all__ = ["Parameter", "Validator"]

LENIENT = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
MISSING: Any = object()
"""Stands for a default that was not given, because None is a default like any other."""


def value_of(value: Any) -> Any:
    """What a parameter node runs: its value, given when the flow is run."""
    return value


class Parameter(Handle):
    """A value that is given when the flow is run; usable as any argument, mapped over too.

    Args:
        name: what it is called in ``flow.run(parameters={name: ...})``.
        default: the value when none is given; without it the parameter is required.
        required: if True, ``default`` is not used.
        annotation: the type the value is checked against, and converted to, before anything runs.

    Raises:
        ParameterError: the name is not one, or the default does not fit the annotation.

    Example:
        >>> from dataflow import Flow, Parameter, task
        >>> @task
        ... def double(x):
        ...     return 2 * x
        >>> with Flow("double") as flow:
        ...     doubled = double(Parameter("x", default=1, annotation=int))
        >>> flow.run(x="21", cluster="inline").result[doubled].result
        42
    """

    __slots__ = ("annotation", "default", "required")

    def __init__(
        self, name: str, default: Any = MISSING, *, required: bool | None = None, annotation: Any = Any
    ) -> None:
        if not str(name).isidentifier():
            raise ParameterError(f"{name!r} is no name for a parameter", fix="a word such as Parameter('n')")
        flow = current_flow.get()
        self.required = default is MISSING if required is None else required
        self.default = None if default is MISSING else default
        self.annotation = annotation
        graph = Graph(f"parameter {name}") if flow is None else flow.graph
        super().__init__(flow, parameter_node(graph, name, self.default))
        if not self.required and default is not MISSING:
            self.validate(default)
        if flow is None:
            _loose[self.node] = self
        else:
            flow.add_parameter(self)

    def attached(self, flow: FlowGraph) -> Parameter:
        """The same parameter with a node in a flow."""
        copy = object.__new__(Parameter)
        Handle.__init__(copy, flow, parameter_node(flow.graph, self.name, self.default))
        copy.annotation, copy.default, copy.required = self.annotation, self.default, self.required
        return copy

    def validate(self, value: Any) -> Any:
        """The value as its annotation wants it.

        Raises:
            ParameterError: it does not fit.
        """
        if self.annotation is Any:
            return value
        model = _model({self.name: self.annotation})
        return _validated(model, {self.name: value}, where=f"flow {self.node.graph.name!r}")[self.name]


_loose: WeakValueDictionary[Node, Parameter] = WeakValueDictionary()
"""Parameters that were made outside a flow, by their node; they join the flow that uses them."""


def loose_parameter(node: Node) -> Parameter | None:
    """The parameter made outside a flow that a node belongs to, if it is one."""
    return _loose.get(node)


def parameter_node(graph: Graph, name: str, default: Any) -> Node:
    """A node that gives the value of a parameter; its one argument is replaced when the flow is run."""
    spec = TaskSpec(name=name, function=value_of, parameters=("value",))
    return Node(graph=graph, task=spec, slug=graph.slug_for(name), arguments=(Constant(default),))


def give_value(node: Node, value: Any) -> Node:
    """Put the value for the next run into the node of a parameter; gives the node."""
    node.arguments = (Constant(value),)
    return node


def parameter_values(parameters: Mapping[str, Parameter], given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The value of every parameter of a flow.

    Args:
        parameters: those of the flow, by name.
        given: values by name, as the user wrote them.
        where: the flow, for messages.

    Raises:
        ParameterError: one is missing, unknown, or does not fit its annotation.
    """
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        known = ", ".join(parameters) or "none"
        fix = f"the flow's parameters are: {known}; where it runs is said by cluster="
        raise ParameterError(f"unknown parameters: {', '.join(unknown)}", where=where, fix=fix)
    missing = sorted(name for name, parameter in parameters.items() if parameter.required and name not in given)
    if missing:
        fix = f"flow.run({', '.join(f'{name}=...' for name in missing)})"
        raise ParameterError(f"no value for the parameters: {', '.join(missing)}", where=where, fix=fix)
    return {
        name: parameter.validate(given[name]) if name in given else parameter.default
        for name, parameter in parameters.items()
    }


class Validator:
    """Checks and converts the arguments of a ``@flow`` function by its annotations.

    Args:
        function: the flow's function.
        signature: its signature.
        names: names that were visible where the function was defined, to resolve its annotations by.
        where: the flow, for messages.
    """

    def __init__(
        self, function: Callable[..., Any], signature: inspect.Signature, names: Mapping[str, Any], *, where: str
    ) -> None:
        self._function = function
        self._signature = signature
        self._names = dict(names)
        self._where = where
        self._built: type[pydantic.BaseModel] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What it is made of; the model is made again where it is needed, so the names it needs go with it."""
        known = getattr(plain_function(self._function), "__globals__", {})
        return {**self.__dict__, "_built": None, "_names": {**annotation_names(self._function, known), **self._names}}

    def bind(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> inspect.BoundArguments:
        """The arguments by parameter, as written.

        Raises:
            ParameterError: one is missing, or one too many was given.
        """
        try:
            return self._signature.bind(*arguments, **keywords)
        except TypeError as error:
            fix = f"call it as {self._function.__name__}{self._signature}"
            raise ParameterError(str(error), where=self._where, fix=fix) from None

    def validate(self, bound: inspect.BoundArguments) -> inspect.BoundArguments:
        """The arguments as the annotations want them; parameters without annotation and defaults stay as they are.

        Raises:
            ParameterError: some do not fit; all are named.
        """
        if self._built is None:
            self._built = _model(self._kinds())
        checked = {alias: bound.arguments[alias] for alias in _names_of(self._built) if alias in bound.arguments}
        bound.arguments.update(_validated(self._built, checked, where=self._where))
        return bound

    def _kinds(self) -> dict[str, Any]:
        try:
            hints = typing.get_type_hints(plain_function(self._function), localns=self._names, include_extras=True)
        except NameError as error:
            fix = "define the type before the flow, or @flow(validate_parameters=False)"
            raise ParameterError(f"an annotation cannot be resolved: {error}", where=self._where, fix=fix) from error
        kinds: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if name in hints:
                kinds[name] = _COLLECTED.get(parameter.kind, lambda hint: hint)(hints[name])
        return kinds


_COLLECTED: dict[Any, Callable[[Any], Any]] = {
    inspect.Parameter.VAR_POSITIONAL: lambda hint: types.GenericAlias(tuple, (hint, ...)),
    inspect.Parameter.VAR_KEYWORD: lambda hint: types.GenericAlias(dict, (str, hint)),
}
"""How the annotation of one argument becomes that of all the arguments such a parameter collects."""


def _model(kinds: Mapping[str, Any]) -> type[pydantic.BaseModel]:
    """A model with one optional field per parameter.

    The fields have names of our own and the parameters are their aliases, because a parameter may have a name that a
    model keeps for itself (``copy``, ``json``, a leading underscore).
    """
    definitions: dict[str, Any] = {
        f"p{i}": (kind, Field(None, alias=name)) for i, (name, kind) in enumerate(kinds.items())
    }
    try:
        return pydantic.create_model("Parameters", __config__=LENIENT, **definitions)
    except pydantic.PydanticUserError as error:
        raise UsageError(f"an annotation cannot be checked: {error}", fix="validate_parameters=False") from error


def _names_of(model: type[pydantic.BaseModel]) -> list[str]:
    return [str(field.alias) for field in model.model_fields.values()]


def _validated(model: type[pydantic.BaseModel], values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    try:
        checked = model.model_validate(values)
    except pydantic.ValidationError as error:
        lines = "; ".join(_line(detail) for detail in error.errors(include_url=False))
        raise ParameterError(lines, where=where, fix="pass values that fit the annotations") from error
    fields = zip(model.model_fields, _names_of(model), strict=True)
    return {name: getattr(checked, field) for field, name in fields if name in values}


def _line(detail: Any) -> str:
    path = "".join(f"[{part!r}]" if i else str(part) for i, part in enumerate(detail["loc"]))
    return f"{path}={reprlib.repr(detail['input'])}: {detail['msg']}"
