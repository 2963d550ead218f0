"""Continuous serving, one event for every iteration of every GPU."""

from __future__ import annotations

import math
from collections import Counter

from tests.reference.disciplines import by_deadline
from tests.reference.simulator import DISPATCH, GPU_EVENT, Aboard, Gpu, Reference
from tests.reference.world import Request


class ContinuousServing(Reference):
    # --- Iterations.

    def kind(self, member: Aboard) -> int:
        return int(self.tables.unit_kind[member.request.model, member.unit])

    def last_unit(self, request: Request) -> int:
        return int(self.tables.unit_exit[request.model, request.placement])

    def iteration(self, aboard: list[Aboard], gpu_type: int) -> dict[int, float]:
        """Seconds that the next iteration spends on each kind of unit that somebody is at."""
        count = Counter(self.kind(member) for member in aboard)
        return {
            kind: float(self.tables.kind_time[gpu_type, kind, members])
            for kind, members in sorted(count.items())
        }

    def course(self, aboard: list[Aboard], gpu_type: int, time: float) -> dict[int, float]:
        """When each member leaves, by index of the request, if nobody joins."""
        left = [Aboard(member.request, member.unit) for member in aboard]
        ends = {}
        while left:
            time += sum(self.iteration(left, gpu_type).values())
            for member in left:
                member.unit += 1
                if member.unit == self.last_unit(member.request):
                    ends[member.request.index] = time
            left = [member for member in left if member.request.index not in ends]
        return ends

    # --- Who joins.

    def joining(
        self, aboard: list[Aboard], queue: list[Request], gpu_type: int, now: float, begin: float
    ) -> list[Aboard]:
        """Who of the queue joins those aboard, if the next iteration begins at ``begin``."""
        tables = self.tables
        crew = list(aboard)
        on_time = self.on_time(crew, gpu_type, begin)
        for request in self.candidates(queue, gpu_type, now):
            of_model = sum(member.request.model == request.model for member in crew)
            if of_model == tables.limit[gpu_type, request.model]:
                continue
            unit = int(tables.unit_enter[request.model, request.placement])
            bigger = [*crew, Aboard(request, unit)]
            then_on_time = self.on_time(bigger, gpu_type, begin)
            promised = {request.index} if self.can_meet(request, gpu_type, now) else set()
            # The first aboard makes nobody late; it can be in time alone but for rounding.
            if not crew or on_time | promised <= then_on_time:
                crew, on_time = bigger, then_on_time
        return crew[len(aboard) :]

    def on_time(self, aboard: list[Aboard], gpu_type: int, begin: float) -> set[int]:
        ends = self.course(aboard, gpu_type, begin)
        return {
            member.request.index
            for member in aboard
            if ends[member.request.index] <= member.request.gpu_deadline
        }

    def would_take(self, model: int, gpu_type: int, now: float) -> list[tuple[Request, float]]:
        overhead = float(self.tables.overhead[gpu_type])
        crew = self.joining([], self.queues[model], gpu_type, now, now + overhead)
        ends = self.course(crew, gpu_type, overhead)
        return [(member.request, ends[member.request.index]) for member in crew]

    def take_in(self, gpu: Gpu, now: float, begin: float) -> list[Request]:
        everyone = [request for queue in self.queues for request in queue]
        if self.drops_late:
            for request in by_deadline(everyone):
                if self.hopeless(request, now):
                    self.drop_from_queue(request, now)
                    everyone.remove(request)
        joining = self.joining(gpu.aboard, everyone, gpu.type, now, begin)
        gpu.aboard = [*gpu.aboard, *joining]
        for member in joining:
            request = member.request
            self.leave_queue(request)
            request.gpu, request.launch, request.start = gpu.number, gpu.launch, now
            request.batch = len(gpu.aboard)
        return [member.request for member in joining]

    # --- Events.

    def become_ready(self, request: Request, now: float) -> None:
        super().become_ready(request, now)
        for gpu in self.gpus:
            of_model = sum(member.request.model == request.model for member in gpu.aboard)
            if not gpu.idle and of_model < self.tables.limit[gpu.type, request.model]:
                gpu.look = True

    def launch(self, model: int, gpu: Gpu, now: float) -> None:
        """Start from idle, with requests of all models."""
        overhead = float(self.tables.overhead[gpu.type])
        gpu.launch = self.launches
        first = self.take_in(gpu, now, now + overhead)
        if not first:
            return
        for request in first:
            request.gpu_seconds = overhead / len(first)
        self.launches += 1
        self.busy_seconds += overhead
        gpu.idle, gpu.starting, gpu.look, gpu.boundary = False, True, False, math.nan
        self.wake(gpu, now + overhead)

    def wake(self, gpu: Gpu, time: float) -> None:
        gpu.next_boundary = time
        self.at(time, GPU_EVENT, gpu.number)

    def gpu_event(self, gpu: Gpu, now: float) -> None:
        """An iteration ends, or the overhead of a start."""
        if gpu.idle or now != gpu.next_boundary:
            return  # somebody joined where this iteration was to begin
        gpu.boundary = now
        if gpu.starting:
            gpu.starting = False
        else:
            self.finish_iteration(gpu, now)
        self.iterate(gpu, now)
        self.at(now, DISPATCH)

    def iterate(self, gpu: Gpu, now: float) -> None:
        if gpu.aboard:
            self.wake(gpu, now + sum(self.iteration(gpu.aboard, gpu.type).values()))

    def finish_iteration(self, gpu: Gpu, now: float) -> None:
        times = self.iteration(gpu.aboard, gpu.type)
        self.busy_seconds += sum(times.values())
        sharing = Counter(self.kind(member) for member in gpu.aboard)
        for member in gpu.aboard:
            kind = self.kind(member)
            member.request.gpu_seconds += times[kind] / sharing[kind]
        for member in gpu.aboard:
            member.unit += 1
        done = [m.request for m in gpu.aboard if m.unit == self.last_unit(m.request)]
        gpu.aboard = [member for member in gpu.aboard if member.request not in done]
        for request in done:
            request.finish = now
            self.pay(request, gpu.type)
            self.bring_home(request)
            gpu.look = True

    def take_in_at_boundaries(self, now: float) -> None:
        for gpu in self.gpus:
            if gpu.idle or gpu.boundary != now:
                continue
            if gpu.look:
                gpu.look = False
                if self.take_in(gpu, now, now):
                    self.iterate(gpu, now)
            if not gpu.aboard:
                self.fall_idle(gpu)
