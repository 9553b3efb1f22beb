"""Typed input: what a run asks people for while it is paused, described to them and checked when it comes."""

from __future__ import annotations

import json
from copy import copy
from typing import Any, ClassVar, Self

import pydantic
import pydantic_core
from pydantic import BaseModel, ConfigDict, TypeAdapter

from dataflow.errors import InputError, UsageError

__all__ = ["InputType", "RunInput", "plain_input"]

VALUE = "value"
"""Under this name input is accepted too that is no model, as in ``{"value": 3}``."""
MISSING: Any = object()


class RunInput(BaseModel):
    """Base of the models of input; any pydantic model serves, this one can be described and filled in beforehand.

    Example:
        >>> class Choice(RunInput):
        ...     name: str
        ...     weight: float = 1.0
        >>> asked = Choice.with_initial_data(description="Which sample next?", name="A-17")
        >>> asked(), asked.input_description
        (Choice(name='A-17', weight=1.0), 'Which sample next?')
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    input_description: ClassVar[str] = ""
    """What people are told who are asked for it."""

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial: Any) -> type[Self]:
        """The same model with these values where none are given.

        Args:
            description: what people are told who are asked for it.
            initial: values of its fields by name.

        Raises:
            UsageError: there is no such field.
        """
        unknown = sorted(initial.keys() - cls.model_fields.keys())
        if unknown:
            known = ", ".join(cls.model_fields) or "none"
            problem = f"there is no field {', '.join(unknown)}"
            raise UsageError(problem, where=f"{cls.__name__}.with_initial_data", fix=f"its fields are: {known}")
        fields: dict[str, Any] = {}
        for name, value in initial.items():
            field = copy(cls.model_fields[name])
            field.default, field.default_factory = value, None
            fields[name] = (field.annotation, field)
        described = pydantic.create_model(cls.__name__, __base__=cls, **fields)
        described.input_description = description or cls.input_description
        return described


class InputType:
    """What kind of input is waited for.

    Args:
        given: a builtin type, a dataclass, a pydantic model, or any annotation that pydantic can check; None: only that
            somebody lets the run go on.
        where: who waits, for messages.

    Raises:
        UsageError: pydantic cannot check it.

    Example:
        >>> age = InputType(int, where="pause-1")
        >>> age.validate("41"), age.validate({"value": 42}), age.schema
        (41, 42, {'type': 'integer'})
        >>> age.validate("old")
        Traceback (most recent call last):
        ...
        dataflow.errors.InputError: pause-1: the input 'old' does not fit int: Input should be a valid integer, ...
          instead: run_input= something that fits; nothing was changed
    """

    def __init__(self, given: Any = None, *, where: str) -> None:
        self._given = given
        self._where = where
        try:
            self._adapter: TypeAdapter[Any] | None = None if given is None else TypeAdapter(given)
        except pydantic.PydanticUserError as error:
            fix = "a builtin type, a dataclass, or a pydantic model"
            raise UsageError(f"input of the type {given!r} cannot be checked", where=where, fix=fix) from error

    @property
    def name(self) -> str:
        """What people call it; empty where nothing is asked for."""
        return "" if self._given is None else getattr(self._given, "__name__", str(self._given))

    @property
    def description(self) -> str:
        """What people are told who are asked for it."""
        return str(getattr(self._given, "input_description", "") if isinstance(self._given, type) else "")

    @property
    def schema(self) -> dict[str, Any] | None:
        """As a JSON schema; None where nothing is asked for, or where it has none."""
        try:
            return None if self._adapter is None else self._adapter.json_schema()
        except pydantic.PydanticUserError:  # of a type that JSON does not know
            return None

    def validate(self, value: Any) -> Any:
        """The input as its type wants it; None is given for no input.

        Raises:
            InputError: it does not fit.
        """
        if self._adapter is None:
            if value in (None, {}):
                return None
            fix = "resume it without run_input="
            raise InputError(f"the input {value!r:.80} was not asked for", where=self._where, fix=fix)
        if value is None and self._is_model:
            value = {}
        try:
            return self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            if isinstance(value, dict) and set(value) == {VALUE} and not self._is_model:
                return self.validate(value[VALUE])
            raise self._refused(value, error) from error

    @property
    def _is_model(self) -> bool:
        return isinstance(self._given, type) and issubclass(self._given, BaseModel)

    def _refused(self, value: Any, error: pydantic.ValidationError) -> InputError:
        lines = "; ".join(_line(detail) for detail in error.errors(include_url=False))
        problem = f"the input {value!r:.80} does not fit {self.name}: {lines}"
        return InputError(problem, where=self._where, fix="run_input= something that fits; nothing was changed")

    def as_json(self, value: Any) -> str:
        """The input as it is written down.

        Raises:
            InputError: it cannot be written as JSON.
        """
        try:
            if self._adapter is None:
                return json.dumps(value)
            return self._adapter.dump_json(value).decode()
        except (TypeError, ValueError) as error:
            raise _not_json(value, error, self._where) from error


def plain_input(value: Any, *, where: str) -> Any:
    """Input as JSON has it, for another process: of a model or a dataclass its fields.

    Args:
        value: what was given.
        where: for whom, for messages.

    Raises:
        InputError: JSON cannot have it.

    Example:
        >>> from datetime import date
        >>> plain_input({"day": date(2026, 1, 31)}, where="run 0a1b2c3d4e5f")
        {'day': '2026-01-31'}
    """
    try:
        return pydantic_core.to_jsonable_python(value)
    except ValueError as error:
        raise _not_json(value, error, where) from error


def _not_json(value: Any, error: Exception, where: str) -> InputError:
    problem = f"the input {value!r:.80} cannot be written as JSON ({error})"
    return InputError(problem, where=where, fix="plain types, dataclasses, pydantic models")


def _line(detail: Any) -> str:
    path = ".".join(map(str, detail["loc"]))
    return f"{path}: {detail['msg']}" if path else str(detail["msg"])
