"""Batch serving: members are fixed at the launch, and leave at their own segments."""

from __future__ import annotations

from tests.reference.disciplines import by_deadline
from tests.reference.simulator import DISPATCH, GPU_EVENT, Gpu, Reference
from tests.reference.world import Request


class BatchServing(Reference):
    def gpu_event(self, gpu: Gpu, now: float) -> None:
        self.fall_idle(gpu)
        self.at(now, DISPATCH)

    def take_in_at_boundaries(self, now: float) -> None:
        """Nobody joins a batch that runs."""

    def would_take(self, model: int, gpu_type: int, now: float) -> list[tuple[Request, float]]:
        batch = self.form_batch(model, gpu_type, now)
        if not batch:
            return []
        ends = self.time_line(batch, gpu_type)
        return [(request, ends[request.last]) for request in batch]

    def form_batch(self, model: int, gpu_type: int, now: float) -> list[Request]:
        batch: list[Request] = []
        for request in self.candidates(self.queues[model], gpu_type, now):
            room = len(batch) < self.tables.limit[gpu_type, model]
            if room and self.all_meet([*batch, request], gpu_type, now):
                batch.append(request)
        return batch

    def all_meet(self, batch: list[Request], gpu_type: int, now: float) -> bool:
        """Whether each member that alone could meet D meets it in this batch."""
        ends = self.time_line(batch, gpu_type)
        return all(
            now + ends[request.last] <= request.gpu_deadline
            for request in batch
            if self.can_meet(request, gpu_type, now)
        )

    def drop_the_hopeless(self, model: int, now: float) -> None:
        for request in by_deadline(self.queues[model]):
            if self.drops_late and self.hopeless(request, now):
                self.drop_from_queue(request, now)

    def launch(self, model: int, gpu: Gpu, now: float) -> None:
        batch = self.rule.take(self, model, gpu.type, now)
        if not batch:
            return
        tables = self.tables
        ends = self.time_line(batch, gpu.type)
        for request in batch:
            self.leave_queue(request)
            request.gpu, request.batch, request.launch = gpu.number, len(batch), self.launches
            request.start = now
            request.finish = now + ends[request.last]
            request.gpu_seconds = float(tables.overhead[gpu.type]) / len(batch)
            for segment in range(request.first, request.last):
                present = sum(other.first <= segment < other.last for other in batch)
                time = float(tables.segment_time[gpu.type, model, segment, present])
                request.gpu_seconds += time / present
            self.pay(request, gpu.type)
            self.bring_home(request)
        busy = ends[max(request.last for request in batch)]
        self.launches += 1
        self.busy_seconds += busy
        gpu.idle = False
        self.at(now + busy, GPU_EVENT, gpu.number)
