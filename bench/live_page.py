"""Part of the section "services": the cost of the live page with fifty viewers.

Times the same run of the embedded model with three samplers in two ways, interleaved: without viewers, and with fifty
viewers from beginning to end. The time of an epoch is the time between two lines of `metrics.jsonl`. Processor time is
the sum over all services; other work on the machine disturbs it less. Every viewer must receive events until the end.
"""

import contextlib
import pathlib
import resource
import selectors
import socket
import statistics
import tempfile
import threading

import epochs

VIEWERS = 50
SAMPLERS = 3
EPOCHS = 10

SETTINGS = epochs.SETTINGS.replace(f"num_epochs = {epochs.EPOCHS}", f"num_epochs = {EPOCHS}")


def measure(target, rounds):
    """Returns the epoch and processor seconds with and without viewers, and their ratios."""
    ways = {"alone": 0, "viewed": VIEWERS}
    seconds, processors = {way: [] for way in ways}, {way: [] for way in ways}
    events, ratios, processor_ratios = [], [], []
    for at in range(rounds):
        # Interleaved, and each way first equally often, so that a slowing machine favours neither.
        order = list(ways) if at % 2 == 0 else list(ways)[::-1]
        found = {way: run(target, ways[way]) for way in order}
        for way in ways:
            seconds[way] += found[way]["epochs"]
            processors[way].append(found[way]["processors"])
        events += found["viewed"]["events"]
        ratios.append(statistics.median(found["viewed"]["epochs"]) / statistics.median(found["alone"]["epochs"]))
        processor_ratios.append(found["viewed"]["processors"] / found["alone"]["processors"])
    return {
        "viewers": VIEWERS,
        "samplers": SAMPLERS,
        "epochs_a_run": EPOCHS,
        "rounds": rounds,
        "epoch_seconds": {way: epochs.spread(times) for way, times in seconds.items()},
        "processor_seconds_a_run": {way: epochs.spread(times) for way, times in processors.items()},
        "events_a_viewer": epochs.spread(events),
        "epoch_viewed_to_alone": epochs.spread(ratios),
        "processors_viewed_to_alone": epochs.spread(processor_ratios),
    }


def run(target, viewers):
    """Runs once. Returns the seconds of its epochs and of the processors, and the events of each viewer."""
    before = processor_seconds()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        names = ["redis", "page", "learner", "rewarder"] + [f"sampler-{at}" for at in range(SAMPLERS)]
        ports = dict(zip(names, epochs.free_ports(len(names))))
        (folder / "run.toml").write_text(epochs.settings_of_services(SETTINGS, ports))
        epochs.start(stack, epochs.redis(ports), folder, "redis")
        page = [f"--dashboard-listen=127.0.0.1:{ports['page']}", "--output-dir=run"]
        learner = epochs.start(stack, epochs.service(target, "learner", ports) + page, folder, "learner")
        epochs.await_port(ports["page"])
        audience = Audience(ports["page"], viewers)
        stack.callback(audience.close)
        epochs.start(stack, epochs.service(target, "rewarder", ports), folder, "rewarder")
        for at in range(SAMPLERS):
            name = f"sampler-{at}"
            epochs.start(stack, epochs.service(target, "sampler", ports | {"sampler": ports[name]}), folder, name)
        seconds = epochs.epoch_seconds(learner, folder, EPOCHS)
        learner.wait(timeout=epochs.DEADLINE_SECONDS)
        events = audience.close()
    if events and min(events) < EPOCHS:
        raise RuntimeError(f"a viewer of the live page got {min(events)} events in {EPOCHS} epochs")
    return {"epochs": seconds[1:], "processors": processor_seconds() - before, "events": events}


def processor_seconds():
    """Returns the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Audience:
    """Viewers of a page, on a thread that reads and counts their events."""

    def __init__(self, port, count):
        self.events, self.left, self.streams = {}, True, selectors.DefaultSelector()
        for _ in range(count):
            viewer = socket.create_connection(("127.0.0.1", port), 30)
            viewer.sendall(b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            viewer.setblocking(False)
            self.streams.register(viewer, selectors.EVENT_READ)
            self.events[viewer] = 0
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while self.left and self.events:
            for key, _ in self.streams.select(timeout=0.5):
                with contextlib.suppress(OSError):
                    part = key.fileobj.recv(1 << 20)
                    self.events[key.fileobj] += part.count(b"event: ")
                    if not part:
                        self.streams.unregister(key.fileobj)

    def close(self):
        """Ends the thread. Returns the number of events of each viewer."""
        self.left = False
        self.thread.join()
        for viewer in self.events:
            viewer.close()
        return list(self.events.values())
