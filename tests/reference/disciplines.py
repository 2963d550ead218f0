"""The dispatch disciplines: when an idle GPU launches a model, how urgent that is, who is taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.reference.world import Request

if TYPE_CHECKING:
    from tests.reference.batch import BatchServing
    from tests.reference.simulator import Reference

EARLY = 1e-9


def by_deadline(queue: list[Request]) -> list[Request]:
    return sorted(queue, key=lambda request: (request.gpu_deadline, request.index))


def by_ready_time(queue: list[Request]) -> list[Request]:
    return sorted(queue, key=lambda request: (request.ready, request.index))


class Slack:
    """Hold until a hold ends, a batch is full or somebody's slack runs out."""

    always_drops_late = False

    def hold_ends(self, request: Request) -> float:
        return request.expires

    def launch_time(self, system: Reference, model: int, gpu_type: int, now: float) -> float:
        batch = system.would_take(model, gpu_type, now)
        if len(batch) == system.tables.limit[gpu_type, model]:
            return now
        times = [self.hold_ends(request) for request in system.queues[model]]
        for request, leaves in batch:
            if system.can_meet(request, gpu_type, now):
                times.append(request.gpu_deadline - leaves - EARLY)
        return min(times)

    def urgency(self, system: Reference, model: int, now: float) -> float:
        queue = system.queues[model]
        ended = [request for request in queue if self.hold_ends(request) <= now]
        return min(request.gpu_deadline for request in ended or queue)

    def take(self, system: BatchServing, model: int, gpu_type: int, now: float) -> list[Request]:
        system.drop_the_hopeless(model, now)
        return system.form_batch(model, gpu_type, now)


class EdfDrop(Slack):
    """Launch at once, by deadline, without those who can't be in time."""

    always_drops_late = True

    def hold_ends(self, request: Request) -> float:
        return request.ready


class Deferred(Slack):
    """Launch at the latest moment that is safe, with some room left for one more."""

    def hold_ends(self, request: Request) -> float:
        return math.inf

    def launch_time(self, system: Reference, model: int, gpu_type: int, now: float) -> float:
        batch = [request for request, _ in system.would_take(model, gpu_type, now)]
        able = [request for request in batch if system.can_meet(request, gpu_type, now)]
        if len(batch) == system.tables.limit[gpu_type, model] or not able:
            return now
        ends = system.time_line(batch, gpu_type, spare=int(system.tables.spare))
        guard = float(system.tables.guard)
        return min(request.gpu_deadline - guard - ends[request.last] - EARLY for request in able)


class Window:
    """First come, first served: when the first has waited for so long, or there are enough."""

    always_drops_late = False

    def sizes(self, system: Reference, model: int, gpu_type: int) -> list[int]:
        limit = int(system.tables.limit[gpu_type, model])
        return [min(int(size), limit) for size in system.tables.preferred]

    def launch_time(self, system: Reference, model: int, gpu_type: int, now: float) -> float:
        queue = system.queues[model]
        if len(queue) >= min(self.sizes(system, model, gpu_type)):
            return now
        return self.waits_until(system, by_ready_time(queue), gpu_type)

    def waits_until(self, system: Reference, queue: list[Request], gpu_type: int) -> float:
        return queue[0].ready + system.tables.window

    def urgency(self, system: Reference, model: int, now: float) -> float:
        return min(request.ready for request in system.queues[model])

    def take(self, system: BatchServing, model: int, gpu_type: int, now: float) -> list[Request]:
        """The largest size that there are enough for; all if there are too few for any."""
        queue = by_ready_time(system.queues[model])
        enough = [size for size in self.sizes(system, model, gpu_type) if size <= len(queue)]
        return queue[: max(enough, default=len(queue))]


class Fitted(Window):
    """Wait while company is worth it, by a line through the batch curve; drop the hopeless."""

    def sizes(self, system: Reference, model: int, gpu_type: int) -> list[int]:
        return [int(system.tables.limit[gpu_type, model])]

    def waits_until(self, system: Reference, queue: list[Request], gpu_type: int) -> float:
        slope = float(system.tables.fit_slope[gpu_type, queue[0].model])
        return queue[-1].ready + system.tables.window / len(queue) - slope

    def take(self, system: BatchServing, model: int, gpu_type: int, now: float) -> list[Request]:
        """Nobody, if some are dropped: then all is planned anew."""
        slope = float(system.tables.fit_slope[gpu_type, model])
        base = float(system.tables.fit_base[gpu_type, model])
        queue = by_ready_time(system.queues[model])
        left = list(queue)
        while len(left) > 1 and now + slope * len(left) + base > left[0].gpu_deadline:
            system.drop_from_queue(left.pop(0), now)
        return super().take(system, model, gpu_type, now) if left == queue else []


class Aimd(Window):
    """Batches as large as their times let them be; one object for each episode."""

    def __init__(self) -> None:
        self.largest: dict[int, float] = {}

    def sizes(self, system: Reference, model: int, gpu_type: int) -> list[int]:
        limit = int(system.tables.limit[gpu_type, model])
        return [min(math.floor(self.largest.get(model, 1.0)), limit)]

    def take(self, system: BatchServing, model: int, gpu_type: int, now: float) -> list[Request]:
        batch = super().take(system, model, gpu_type, now)
        largest = self.largest.get(model, 1.0)
        ends = system.time_line(batch, gpu_type)
        if ends[max(request.last for request in batch)] > system.tables.target:
            self.largest[model] = max(1.0, 0.9 * largest)
        elif len(batch) == math.floor(largest) < system.tables.limit[gpu_type, model]:
            self.largest[model] = largest + 1.0
        return batch


class WindowDrop:
    """Launch at once; from the head of the queue, drop whom a batch of the size makes late."""

    always_drops_late = False

    def launch_time(self, system: Reference, model: int, gpu_type: int, now: float) -> float:
        return now

    def urgency(self, system: Reference, model: int, now: float) -> float:
        return min(request.gpu_deadline for request in system.queues[model])

    def take(self, system: BatchServing, model: int, gpu_type: int, now: float) -> list[Request]:
        size = min(int(system.tables.preferred[0]), int(system.tables.limit[gpu_type, model]))
        while queue := by_deadline(system.queues[model]):
            window = queue[:size]
            if now + system.time_line(window, gpu_type)[window[0].last] <= window[0].gpu_deadline:
                return window
            system.drop_from_queue(window[0], now)
        return []


RULES = {
    "slack": Slack,
    "edf-drop": EdfDrop,
    "deferred": Deferred,
    "window": Window,
    "preferred": Window,
    "window-drop": WindowDrop,
    "fitted": Fitted,
    "aimd": Aimd,
}
