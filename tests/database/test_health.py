"""Trouble with the database is said once, tried again less and less often, and given up only where that is certain."""

from __future__ import annotations

from dataflow.database.health import Health, Trouble, after_failure, after_success


def failing(*times: float, trouble: Trouble = Trouble.PASSING) -> tuple[Health, list[bool]]:
    """The health after failures at these times, and at which of them there was a warning."""
    health, warnings = Health(), []
    for now in times:
        health, warns = after_failure(health, now, trouble)
        warnings.append(warns)
    return health, warnings


def test_it_is_tried_again_after_growing_delays() -> None:
    """Delays double from a quarter of a second to five seconds."""
    delays, health = [], Health()
    for _ in range(7):
        health, _ = after_failure(health, 100.0, Trouble.PASSING)
        delays.append(health.next_try - 100.0)
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_trouble_is_said_once_and_so_is_its_end() -> None:
    """However often it fails, there is one warning, and one word when it works again."""
    health, warnings = failing(100.0, 101.0, 102.0)
    assert warnings == [True, False, False]
    assert after_success(health) == (Health(), True)
    assert after_success(Health()) == (Health(), False)


def test_others_that_write_are_no_trouble_unless_it_lasts() -> None:
    """A lock is worth a warning after ten seconds, not before."""
    health, warnings = failing(100.0, 105.0, 109.9, 110.0, 120.0, trouble=Trouble.BUSY)
    assert warnings == [False, False, False, True, False]
    assert not health.is_off
    assert after_success(failing(100.0, trouble=Trouble.BUSY)[0]) == (Health(), False)


def test_what_never_works_is_given_up_at_once() -> None:
    """A damaged file is warned of and left alone."""
    health, warnings = failing(100.0, trouble=Trouble.HOPELESS)
    assert (health.is_off, warnings) == (True, [True])
