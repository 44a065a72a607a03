"""Looks at every state that a model can come to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from simulation.cluster_protocol import Model, Protocol
from simulation.cluster_states import Limits, State


@dataclass(frozen=True, slots=True)
class Exploration:
    """How many states and steps there are, in how many states all is done, and what went wrong, after which steps."""

    states: int
    steps: int
    done: int
    wrong: str = ""
    trace: tuple[str, ...] = ()


def explore(protocol: Protocol, limits: Limits) -> Exploration:
    """Every state that can be reached, those with the fewest steps first; ends with the first that is wrong."""
    model, start = Model(protocol, limits), limits.start()
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    steps = done = 0
    while waiting:
        state = waiting.popleft()
        done += model.is_done(state)
        for label, found in model.steps(state):
            steps += 1
            following = model.simplest(found)
            if following in came_from:
                continue
            came_from[following] = (state, label)
            if wrong := model.broken(following):
                return Exploration(len(came_from), steps, done, wrong, _trace(came_from, following))
            waiting.append(following)
    return Exploration(len(came_from), steps, done)


def stuck(protocol: Protocol, limits: Limits) -> tuple[str, ...]:
    """The steps to a state from which nothing leads to one in which all is done, though there is an owner or there may
    be one; empty when there is none."""
    model, start = Model(protocol, limits), limits.start()
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    before: dict[State, list[State]] = {start: []}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for label, found in model.steps(state):
            following = model.simplest(found)
            if following not in came_from:
                came_from[following] = (state, label)
                before[following] = []
                waiting.append(following)
            before[following].append(state)
    finishing = {state for state in came_from if model.is_done(state)}
    waiting.extend(finishing)
    while waiting:
        for state in before[waiting.popleft()]:
            if state not in finishing:
                finishing.add(state)
                waiting.append(state)
    for state in came_from:
        if state not in finishing and model.may_go_on(state):
            return _trace(came_from, state)
    return ()


def _trace(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels = []
    while (before := came_from[state]) is not None:
        state, label = before
        labels.append(label)
    return tuple(reversed(labels))
