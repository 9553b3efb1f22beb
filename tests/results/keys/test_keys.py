"""Keys: what changes them, what does not, and that batches are invisible."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_results.cache_validators import duration_only, partial_inputs_only, partial_parameters_only
from dataflow_results.errors import KeyingError, UnknownType, UnstableKey
from dataflow_results.keying.functions import KeyContext, task_input_hash
from dataflow_results.keying.identity import TaskIdentity
from dataflow_results.keying.keys import KeyPlan, joined_keys, node_key
from dataflow_results.keying.plans import RunPlace
from dataflow_results.keying.positions import gathered_key, item_keys, position_keys
from dataflow_results.policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    LINEAGE,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
)
from tests.results.keys.calls import LOAD, PLACE, key_of, keys_of, plan_of, with_source

values = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=80), st.none(), st.booleans())
deep = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
names = st.lists(st.text(min_size=1, max_size=4).filter(lambda name: "[" not in name), unique=True, max_size=4)
calls = names.flatmap(lambda found: st.fixed_dictionaries(dict.fromkeys(found, deep)))


def typed(value: Any) -> Any:
    """A value in which ``1``, ``1.0`` and ``True``, and ``0.0`` and ``-0.0``, are not equal."""
    if isinstance(value, dict):
        return {key: typed(held) for key, held in value.items()}
    return [typed(held) for held in value] if isinstance(value, list) else (type(value), repr(value))


@given(calls, calls)
def test_keys_are_equal_just_when_the_arguments_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two calls of one task have one key if, and only if, they have the same arguments."""
    keys = [key_of(plan_of(INPUTS, names=[*call]), **call) for call in (one, other)]
    assert (keys[0] == keys[1]) == (typed(one) == typed(other))


@given(st.lists(st.tuples(deep, values), min_size=1, max_size=8), st.integers(1, 8))
def test_batch_size_is_invisible(rows: list[tuple[Any, Any]], size: int) -> None:
    """A batch of n gives the keys of n batches of one, and of any other cut."""
    plan = plan_of(DEFAULT)
    columns = {"x": [x for x, _ in rows], "y": [y for _, y in rows]}
    whole = keys_of(plan, **columns)
    cuts = [
        plan.keys({name: column[start : start + size] for name, column in columns.items()}, {}, len(cut), cut)
        for start in range(0, len(rows), size)
        if (cut := range(len(rows))[start : start + size])
    ]
    assert joined_keys(cuts).digests == whole.digests
    assert [whole[position] for position in range(len(rows))] == [key_of(plan, x=x, y=y) for x, y in rows]


@given(deep, deep)
def test_how_an_argument_arrived_is_invisible(x: Any, y: Any) -> None:
    """A constant, a value shared by a batch, one hashed before, and a column give the same key."""
    plan, columns = plan_of(INPUTS), {"x": [x], "y": [y]}
    expected = plan.keys(columns, {}, 1, range(1))[0]
    assert plan.keys({"x": [x]}, {"y": y}, 1, range(1))[0] == expected
    assert plan.keys({}, {"x": x, "y": y}, 1, range(1))[0] == expected
    assert plan.keys({"y": [y]}, plan.encode_shared({"x": x}), 1, range(1))[0] == expected
    assert node_key(plan_of(INPUTS, constants={"x": x, "y": y})) == expected
    assert key_of(plan_of(INPUTS, constants={"x": x}), y=y) == expected
    assert key_of(plan_of(INPUTS, constants={"y": y}), x=x) == expected


@given(deep, deep, deep)
def test_subtraction_ignores_exactly_that_argument(x: Any, y: Any, other: Any) -> None:
    """Without ``y`` the key does not depend on it, and depends on the rest as before."""
    plan = plan_of(INPUTS - "y")
    assert key_of(plan, x=x, y=y) == key_of(plan, x=x, y=other)
    assert (key_of(plan, x=x, y=y) == key_of(plan, x=other, y=y)) == (typed(x) == typed(other))


def test_order_of_arguments_does_not_matter() -> None:
    """Swapping parameters in a signature keeps the keys; swapping their values does not."""
    assert key_of(plan_of(INPUTS, names=["x", "y"]), x=1, y=2) == key_of(plan_of(INPUTS, names=["y", "x"]), y=2, x=1)
    assert key_of(plan_of(INPUTS), x=1, y=2) != key_of(plan_of(INPUTS), x=2, y=1)


def test_names_and_values_cannot_run_into_each_other() -> None:
    """Text moved from a name into a neighbouring value gives another key."""
    assert key_of(plan_of(INPUTS, names=["ab"]), ab="c") != key_of(plan_of(INPUTS, names=["a"]), a="bc")
    assert key_of(plan_of(INPUTS), x="ab", y="c") != key_of(plan_of(INPUTS), x="a", y="bc")


@pytest.mark.parametrize(
    "other",
    [
        replace(LOAD, name="load-2"),
        replace(LOAD, module_qualname="other.load"),
        replace(LOAD, version="2"),
        replace(LOAD, version=""),
    ],
    ids=["name", "module", "version", "empty version"],
)
@pytest.mark.parametrize("policy", [INPUTS, TASK_SOURCE, RUN_ID, CacheKeyFnPolicy(lambda *_: "same")], ids=repr)
def test_identity_is_always_in_the_key(policy: Any, other: TaskIdentity) -> None:
    """Two tasks under one policy never share a key, whatever the policy is."""
    assert key_of(plan_of(policy), x=1, y=2) != key_of(plan_of(policy, identity=other), x=1, y=2)


@pytest.mark.parametrize(
    ("policy", "changed", "matters"),
    [
        (TASK_SOURCE, {"identity": with_source(load="other")}, True),
        (INPUTS, {"identity": with_source(load="other")}, False),
        (LINEAGE, {"identity": with_source(load="other")}, True),
        (RUN_ID, {"place": replace(PLACE, run="run-2")}, True),
        (INPUTS, {"place": replace(PLACE, run="run-2", node="load-2", flow_parameters={})}, False),
        (FLOW_PARAMETERS, {"place": replace(PLACE, flow_parameters={"date": "2026-01-01"})}, True),
        (partial_parameters_only(["date"]), {"place": replace(PLACE, flow_parameters={"date": "2026-01-01"})}, False),
        (partial_parameters_only(["date"]), {"place": replace(PLACE, flow_parameters={"date": "2027-01-01"})}, True),
        (duration_only(), {"place": replace(PLACE, node="load-2")}, True),
        (duration_only(), {"place": replace(PLACE, run="run-2")}, False),
    ],
)
def test_each_part_counts_where_the_policy_says_so(policy: Any, changed: dict[str, Any], matters: bool) -> None:
    """A changed source, run, parameter or node changes the keys of the policies that count it, and no others."""
    assert (key_of(plan_of(policy), x=1, y=2) != key_of(plan_of(policy, **changed), x=1, y=2)) is matters


def test_partial_inputs_look_at_the_named_arguments_only() -> None:
    """The classic validator ignores the arguments it does not name."""
    plan = plan_of(partial_inputs_only(["x"]))
    assert key_of(plan, x=1, y=2) == key_of(plan, x=1, y=3) != key_of(plan, x=2, y=3)


def test_duration_only_keeps_the_elements_of_a_map_apart() -> None:
    """Elements of a map get the same key as yesterday by their index, not the first element's."""
    plan = plan_of(duration_only(), names=["x"])
    keys = keys_of(plan, x=[5, 6, 7])
    assert len({keys[0], keys[1], keys[2]}) == 3
    assert keys.digests == keys_of(plan, x=[8, 9, 10]).digests


def test_no_cache_has_no_keys() -> None:
    """Under NO_CACHE every element is without key, and that is no error."""
    keys = keys_of(plan_of(NO_CACHE), x=[1, 2], y=[1, 2])
    assert (keys.absent, keys.errors, keys.digests) == (frozenset({0, 1}), {}, bytes(40))


def test_one_element_without_canonical_form_costs_only_itself() -> None:
    """An element of an unknown type has an error that names argument and index; the others keep their keys."""
    keys = keys_of(plan_of(INPUTS, names=["x"]), x=[1, object(), 3])
    assert set(keys.errors) == keys.absent == {1}
    assert isinstance(keys.errors[1], UnknownType)
    assert "'x'" in str(keys.errors[1])
    assert keys[1] == bytes(20)
    assert keys[2] == key_of(plan_of(INPUTS, names=["x"]), x=3)


def test_joined_batches_keep_their_errors_in_place() -> None:
    """Errors, absent elements and cells of joined batches stand where the elements stand."""
    plan = plan_of(INPUTS, names=["x"])
    joined = joined_keys([keys_of(plan, x=[1, 2]), keys_of(plan, x=[object(), 4])])
    assert (set(joined.errors), joined.absent) == ({2}, frozenset({2}))
    assert joined[3] == key_of(plan, x=4)
    assert len(joined.cells["x"]) == 4


def test_user_code_that_fails_while_hashing_costs_one_element() -> None:
    """A class whose own hashing method raises makes its element an error, not the batch."""

    class Broken:
        def __dataflow_key__(self) -> object:
            raise ZeroDivisionError("oops")

    keys = keys_of(plan_of(INPUTS, names=["x"]), x=[1, Broken()])
    assert list(keys.errors) == [1]
    assert "ZeroDivisionError: oops" in str(keys.errors[1])
    assert keys[0] == key_of(plan_of(INPUTS, names=["x"]), x=1)


def test_shared_argument_without_canonical_form_is_an_error_of_all() -> None:
    """What cannot be hashed and belongs to all elements leaves all without key."""
    keys = plan_of(INPUTS).keys({"x": [1, 2]}, {"y": object()}, 2, range(2))
    assert set(keys.errors) == {0, 1}


def test_arguments_that_do_not_count_need_no_canonical_form() -> None:
    """What the policy leaves out is not even looked at, neither by the plan nor by the keys."""
    plan = plan_of(INPUTS - "y", constants={"y": object()})
    assert key_of(plan, x=1) == key_of(plan_of(INPUTS - "y"), x=1, y=object())


def test_missing_and_uneven_columns_are_refused() -> None:
    """A batch without a value for a counted argument, or with uneven columns, is a mistake of the caller."""
    with pytest.raises(ValueError, match="no values for y"):
        keys_of(plan_of(INPUTS), x=[1])
    with pytest.raises(ValueError, match=r"2 elements of 'load', but another number of y \(1\)"):
        keys_of(plan_of(INPUTS), x=[1, 2], y=[1])


def test_policy_that_needs_a_source_says_so() -> None:
    """Counting a source that cannot be read is refused, unless a version stands for it."""
    blind = TaskIdentity(name="len", module_qualname="builtins.len")
    with pytest.raises(KeyingError, match=r"source of builtins\.len, which cannot be read"):
        plan_of(DEFAULT, identity=blind)
    assert plan_of(DEFAULT, identity=replace(blind, version="1"))


def test_key_functions_give_keys_none_and_errors() -> None:
    """Equal text is an equal key, None is no key, anything else is an error of that element."""

    def by_kind(context: KeyContext, arguments: dict[str, Any]) -> Any:
        return {"int": "number", "float": "number", "str": None, "bytes": 7}[type(arguments["x"]).__name__]

    keys = keys_of(plan_of(CacheKeyFnPolicy(by_kind), names=["x"]), x=[1, 2.5, "text", b"bytes", []])
    assert keys[0] == keys[1] != bytes(20)
    assert keys.absent == {2, 3, 4}
    assert isinstance(keys.errors[3], UnstableKey)
    assert "KeyError: 'list'" in str(keys.errors[4])
    assert set(keys.errors) == {3, 4}


def test_key_functions_are_told_task_run_and_element() -> None:
    """The context names task, run, node, index and arguments, also under the names of Prefect."""
    seen: list[KeyContext] = []

    def watch(context: KeyContext, arguments: dict[str, Any]) -> str:
        seen.append(context)
        return task_input_hash(context, arguments)

    plan = plan_of(CacheKeyFnPolicy(watch))
    keys = plan.keys({"x": [1]}, {"y": 2}, 1, [41])
    context = seen[0]
    assert (context.task.name, context.task.key, context.task.task_key) == ("load", "steps.load", "steps.load")
    assert (context.run_id, context.node, context.index) == ("run-1", "load", 41)
    assert context.parameters == {"x": 1, "y": 2}
    assert (context.task_run.name, context.task_run.flow_run_id) == ("load-41", "run-1")
    assert keys[0] == plan.keys({"x": [1]}, {"y": 2}, 1, [5])[0] != plan.keys({"x": [2]}, {"y": 2}, 1, [5])[0]


def test_key_function_adds_to_the_other_parts() -> None:
    """In a sum both the text and the arguments count."""

    def by_sign(context: KeyContext, arguments: dict[str, Any]) -> str:
        return str(arguments["x"] > 0)

    alone = keys_of(plan_of(CacheKeyFnPolicy(by_sign), names=["x"]), x=[1, 2])
    both = keys_of(plan_of(CacheKeyFnPolicy(by_sign) + INPUTS, names=["x"]), x=[1, 2])
    assert alone[0] == alone[1]
    assert both[0] != both[1]


def test_lineage_takes_upstream_keys_for_values() -> None:
    """Under LINEAGE an upstream argument counts by its key, and is never mistaken for the same bytes as a value."""
    upstream = [b"1" * 20, b"2" * 20]
    plan = plan_of(LINEAGE, names=["x"], lineage=["x"])
    keys = keys_of(plan, x=upstream)
    assert keys[0] != keys[1]
    assert keys[0] == node_key(plan_of(LINEAGE, names=["x"], constants={"x": upstream[0]}, lineage=["x"]))
    assert keys.digests != keys_of(plan_of(LINEAGE, names=["x"]), x=upstream).digests


def test_lineage_of_a_chain_sees_a_change_at_its_start() -> None:
    """A changed source of the first of three nodes changes the key of the last, without any value."""

    def last_key(first_source: TaskIdentity) -> bytes:
        first = node_key(plan_of(LINEAGE, names=["x"], constants={"x": 1}, identity=first_source))
        items = item_keys(first, range(3))
        middle = plan_of(LINEAGE, names=["x"], lineage=["x"])
        mapped = keys_of(middle, x=[items[start : start + 20] for start in (0, 20, 40)])
        gathered = gathered_key(mapped.digests)
        return node_key(plan_of(LINEAGE, names=["x"], constants={"x": gathered}, lineage=["x"]))

    assert last_key(LOAD) == last_key(LOAD) != last_key(with_source(load="other"))


@given(st.lists(st.integers(0, 10**9), unique=True, max_size=20))
def test_position_keys_depend_on_run_node_and_index_only(indices: list[int]) -> None:
    """Each index has its own key, whichever others are asked for with it."""
    keys = position_keys("run-1", "load", indices)
    each = [keys[start : start + 20] for start in range(0, len(keys), 20)]
    assert each == [position_keys("run-1", "load", range(index, index + 1)) for index in indices]
    assert len(set(each)) == len(indices)
    others = position_keys("run-2", "load", indices) + position_keys("run-1", "load-2", indices)
    assert not set(each) & {others[start : start + 20] for start in range(0, len(others), 20)}


def test_plans_travel() -> None:
    """A plan that went through pickle gives the same keys, and is small."""
    plan = plan_of(DEFAULT, constants={"y": list(range(10_000))})
    packed = pickle.dumps(plan)
    read: KeyPlan = pickle.loads(packed)
    assert read == plan
    assert keys_of(read, x=[1, 2]).digests == keys_of(plan, x=[1, 2]).digests
    assert len(packed) < 10_000


def test_keys_are_the_same_in_another_process() -> None:
    """A fresh interpreter with another hash seed makes the same key."""
    code = """if True:
        from tests.results.keys.calls import plan_of, keys_of
        from dataflow_results.policies import DEFAULT
        print(keys_of(plan_of(DEFAULT), x=[{"a", "b"}], y=[{"k": 1.5}]).digests.hex())
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "17"},
    )
    assert done.stdout.strip() == keys_of(plan_of(DEFAULT), x=[{"a", "b"}], y=[{"k": 1.5}]).digests.hex()


def test_keys_of_version_1_stay_as_they_are() -> None:
    """The bytes of a key are a promise to every store that is filled: a change here makes all of them miss."""
    key = key_of(plan_of(INPUTS, identity=replace(LOAD, source=None), place=RunPlace()), x=1, y="two")
    assert key.hex() == "a35a6aa47ed3f3060950d80561f1eb2c765e76df"


def test_columns_may_be_arrays_and_ranges() -> None:
    """A range gives the keys of its ints, an array those of its elements."""
    plan = plan_of(INPUTS, names=["x"])
    assert keys_of(plan, x=range(3)).digests == keys_of(plan, x=[0, 1, 2]).digests
    array = np.array([0.5, 1.5])
    assert keys_of(plan, x=array).digests == keys_of(plan, x=list(array)).digests


def test_collection_is_safe_and_stays() -> None:
    """The folder of a task does not depend on source or version, is a safe file name, and differs by function."""
    changed = replace(with_source(load="other"), version="2")
    assert changed.collection == LOAD.collection
    strange = TaskIdentity(name="../é/$ x" * 40, module_qualname="m.f").collection
    assert strange.isascii()
    assert not set(strange) & set("/\\. $:")
    assert len(strange) < 80
    assert TaskIdentity(name="load", module_qualname="other.load").collection != LOAD.collection
