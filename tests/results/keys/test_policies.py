"""Cache policies: the algebra, what is refused, and how they read."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_results import cache_validators
from dataflow_results.errors import KeyingError
from dataflow_results.policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    LINEAGE,
    NO_CACHE,
    POSITION,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
)
from tests.results.keys.calls import plan_of

BY_VALUE = [INPUTS, TASK_SOURCE, FLOW_PARAMETERS, RUN_ID, POSITION, NO_CACHE, INPUTS - "debug"]
policies = st.lists(st.sampled_from(BY_VALUE), min_size=1, max_size=5).map(lambda found: sum(found, NO_CACHE))


def by_day(context: object, arguments: dict[str, str]) -> str:
    return arguments["date"][:10]


@given(policies, policies, policies)
def test_addition_is_a_union(one: CachePolicy, two: CachePolicy, three: CachePolicy) -> None:
    """Order, grouping and repetition of a sum do not matter, and NO_CACHE adds nothing."""
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + one == one
    assert hash(one + two) == hash(two + one)
    assert one + NO_CACHE == one


@given(policies)
def test_policies_pickle_and_read_back(policy: CachePolicy) -> None:
    """A policy that went through pickle equals itself."""
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (DEFAULT, "INPUTS + TASK_SOURCE"),
        (INPUTS + TASK_SOURCE - "debug", "INPUTS + TASK_SOURCE - 'debug'"),
        (INPUTS - "b" - "a", "INPUTS - 'a' - 'b'"),
        (RUN_ID + FLOW_PARAMETERS, "FLOW_PARAMETERS + RUN_ID"),
        (LINEAGE, "LINEAGE"),
        (NO_CACHE, "NO_CACHE"),
        (INPUTS + CacheKeyFnPolicy(cache_key_fn=by_day), "INPUTS + CacheKeyFnPolicy(by_day)"),
        (INPUTS.configure(isolation_level="serializable"), "(INPUTS).configure(isolation_level='SERIALIZABLE')"),
    ],
    ids=repr,
)
def test_policies_read_as_they_are_written(policy: CachePolicy, text: str) -> None:
    """The repr of a policy is how a person would write it."""
    assert repr(policy) == text


def test_subtraction_reaches_into_sums() -> None:
    """Taking an argument off a sum takes it off its inputs, wherever they stand."""
    assert (TASK_SOURCE + INPUTS) - "debug" == TASK_SOURCE + (INPUTS - "debug")
    assert not ((TASK_SOURCE + INPUTS) - "debug").counts("debug")


@pytest.mark.parametrize("policy", [TASK_SOURCE, NO_CACHE, RUN_ID, FLOW_PARAMETERS], ids=repr)
def test_subtraction_from_what_has_no_inputs_is_refused(policy: CachePolicy) -> None:
    """A subtraction that could not have an effect is an error, not silence."""
    with pytest.raises(KeyingError, match="does not look at arguments"):
        policy - "x"


def test_unknown_argument_is_refused_with_the_names() -> None:
    """When the policy meets the task, a subtracted argument that it does not have is an error with the real names."""
    with pytest.raises(KeyingError, match=r"names 'debgu', but its arguments are 'path', 'debug'"):
        plan_of(INPUTS - "debgu", names=["path", "debug"])


def test_arguments_of_stars_go_by_the_name_in_the_signature() -> None:
    """Taking off ``rest`` takes off every value of ``*rest``."""
    policy = INPUTS - "rest"
    policy.check_arguments("f", ["x", "rest[0]", "rest[1]"])
    assert [policy.counts(name) for name in ("x", "rest[0]", "rest[1]")] == [True, False, False]


def test_lineage_and_inputs_exclude_each_other() -> None:
    """A policy cannot look at values and at the same time not look at them."""
    with pytest.raises(KeyingError, match="stands in place of INPUTS"):
        LINEAGE + INPUTS


def test_configure_refuses_what_has_no_meaning() -> None:
    """Options of Prefect without meaning here are refused with what to do, and a wrong level with the right ones."""
    with pytest.raises(KeyingError, match="result_storage"):
        INPUTS.configure(key_storage="/tmp/keys")
    with pytest.raises(KeyingError, match="leases"):
        INPUTS.configure(lock_manager=object())
    with pytest.raises(KeyingError, match="'READ_COMMITTED' or 'SERIALIZABLE'"):
        INPUTS.configure(isolation_level="SNAPSHOT")


def test_isolation_survives_sums_and_conflicts_are_refused() -> None:
    """One level in a sum holds for the sum; two different ones are an error."""
    serializable = INPUTS.configure(isolation_level="SERIALIZABLE")
    assert (serializable + TASK_SOURCE).isolation == "SERIALIZABLE"
    with pytest.raises(KeyingError, match="different isolation levels"):
        serializable + TASK_SOURCE.configure(isolation_level="READ_COMMITTED")


def test_subclassing_is_refused() -> None:
    """A subclass with a method of its own would silently cache nothing, so there is none."""
    with pytest.raises(KeyingError, match="is final"):
        type("Mine", (CachePolicy,), {"compute_key": lambda *_: "key"})


def test_validators_of_classic_give_policies() -> None:
    """Each validator says what counts; where arguments do not, the element's place does, so that a map stays a map."""
    assert cache_validators.never_use() == NO_CACHE
    assert cache_validators.all_inputs() == INPUTS + TASK_SOURCE
    assert cache_validators.duration_only() == TASK_SOURCE + POSITION
    assert cache_validators.all_parameters() == TASK_SOURCE + FLOW_PARAMETERS + POSITION
    partial = cache_validators.partial_inputs_only(["date"])
    assert (partial.counts("date"), partial.counts("verbose")) == (True, False)
    parameters = cache_validators.partial_parameters_only(["date"])
    assert (parameters.counts_parameter("date"), parameters.counts_parameter("verbose")) == (True, False)
