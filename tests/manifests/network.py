"""Services select pods, addresses name Services, and NetworkPolicies open only the documented connections."""

from urllib.parse import urlsplit

import environment
from reach import End, matches, reaches
from stacks import container, labels

NAMESPACE = "ddpo"


def check(stack, binaries):
    """Yields wrong Services, addresses and policies."""
    return [*_services(stack), *_addresses(stack, binaries), *_edges(stack), *_monitors(stack)]


def _services(stack):
    for service in stack.of("Service"):
        title, spec = f"Service {service['metadata']['name']}", service["spec"]
        chosen = [one for one in stack.workloads() if matches({"matchLabels": spec["selector"]}, labels(one))]
        if len(chosen) != 1:
            yield f"{title}: selects the pods of {len(chosen)} workloads, expected 1"
            continue
        for port in spec["ports"]:
            number = environment.port(chosen[0], port["targetPort"])
            # A headless Service cannot translate ports.
            if number is None or port["port"] != number:
                yield f"{title}: port {port['port']} leads to {port['targetPort']}, which is {number}"
        grpc = environment.port(chosen[0], "grpc") is not None
        if grpc != (spec.get("clusterIP") == "None"):
            yield f"{title}: expected a headless Service exactly for gRPC streams"


def _addresses(stack, binaries):
    """Yields addresses in the settings that are neither Services nor external."""
    services = stack.services()
    for component, table, key in [("sampler", "sampler", "rewarders"), ("rewarder", "rewarder", "learners")]:
        settings, error = binaries.resolved(stack, services[component])
        if error:
            continue
        expected = "https" if "tls" in stack.components else "http"
        for address in settings[table][key]:
            url = urlsplit(address)
            if url.scheme != expected:
                yield f"{component}: {key} = {address}: expected {expected}"
            yield from _leads(stack, f"{component}: {key}", url.hostname, url.port, key[:-1])
        insecure = settings["service"]["insecure"]
        tls = all(settings["service"].get(name) for name in ["tls_cert", "tls_key", "tls_ca", "tls_client_ca"])
        if insecure == tls or tls != ("tls" in stack.components):
            yield f"{component}: insecure = {insecure} where mutual TLS = {tls}"
    yield from _keys(stack)


def _keys(stack):
    """Yields services without the token, and wrong access to the password of Redis."""
    for component, workload in stack.services().items():
        variables = environment.variables(workload)
        if "DDPO_SERVICE_TOKEN_FILE" not in variables:
            yield f"{component}: no token"
        if component == "rewarder":
            if any("REDIS" in name for name in variables) or "ddpo-redis" in str(workload):
                yield "rewarder: has the password of Redis, which it does not need"
            continue
        if "DDPO_SERVICE_REDIS_PASSWORD_FILE" not in variables:
            yield f"{component}: no password for Redis"
        if "external-redis" not in stack.components:
            url = urlsplit(variables.get("DDPO_SERVICE_REDIS_URL", ""))
            yield from _leads(stack, f"{component}: redis_url", url.hostname, url.port, "redis")


def _leads(stack, who, host, port, component):
    service = stack.get("Service", host)
    if not service:
        yield f"{who}: no Service {host}"
    elif port not in [one["port"] for one in service["spec"]["ports"]]:
        yield f"{who}: Service {host} has no port {port}"
    elif service["spec"]["selector"]["app.kubernetes.io/component"] != component:
        yield f"{who}: Service {host} leads to {service['spec']['selector']}, expected a {component}"


def ends(stack):
    """Returns our pods and other possible clients."""
    found = {}
    for workload in stack.workloads():
        name = labels(workload)["app.kubernetes.io/component"]
        ports = {port["name"]: port["containerPort"] for port in container(workload)["ports"]}
        found[name] = End(name, NAMESPACE, labels(workload), ports)
    others = [
        End("reward-server", NAMESPACE, {"app.kubernetes.io/component": "reward-server"}, {"grpc": 50060}),
        End("intruder", NAMESPACE, {"app": "intruder"}, {"http": 8080}),
        End("stranger", "default", {"app": "stranger"}, {"http": 443}),
        End("prometheus", "monitoring", {"app": "prometheus"}),
        End("collector", "monitoring", {"app": "otel-collector"}, {"otlp": 4317}),
        End("keda", "keda", {"app": "keda-operator"}),
        End("dns", "kube-system", {"k8s-app": "kube-dns"}, {"dns": 53}),
        End("hub", ports={"https": 443, "http": 80}, address="93.184.216.34"),
        End("hub over IPv6", ports={"https": 443}, address="2606:2800:220:1::1"),
        End("metadata", ports={"http": 80, "https": 443}, address="169.254.169.254"),
        End("redis outside", ports={"redis": 6379, "tls": 6380}, address="10.20.30.40"),
    ]
    return {**found, **{other.name: other for other in others}}


def expected(stack):
    """The connections in ARCHITECTURE.md and in README.md of deploy/kubernetes."""
    outside = "external-redis" in stack.components
    edges = {("sampler", "rewarder", 50052), ("rewarder", "learner", 50053), ("rewarder", "reward-server", 50060)}
    edges |= {("prometheus", name, port) for name, port in [("sampler", 9464), ("rewarder", 9465), ("learner", 9466)]}
    edges |= {("collector", name, port) for name, port in [("sampler", 9464), ("rewarder", 9465), ("learner", 9466)]}
    edges |= {(name, hub, 443) for name in ["learner", "rewarder"] for hub in ["hub", "hub over IPv6"]}
    for name in ["sampler", "learner"]:
        edges |= {(name, "redis outside", 6379), (name, "redis outside", 6380)} if outside else {(name, "redis", 6379)}
    if "keda" in stack.components and not outside:
        edges.add(("keda", "redis", 6379))
    if "telemetry" in stack.components:
        edges |= {(name, "collector", 4317) for name in ["sampler", "rewarder", "learner"]}
    everybody = [name for name, end in ends(stack).items() if end.namespace == NAMESPACE]
    return edges | {(name, "dns", 53) for name in everybody}


def _edges(stack):
    policies, all_ends = stack.of("NetworkPolicy"), ends(stack)
    wanted = expected(stack)
    for source in all_ends.values():
        for target in all_ends.values():
            if source is target or NAMESPACE not in (source.namespace, target.namespace):
                continue
            for port in target.ports.values():
                edge = (source.name, target.name, port)
                for protocol in ["TCP", "UDP"] if port == 53 else ["TCP"]:
                    open_ = reaches(policies, source, target, port, protocol)
                    if open_ != (edge in wanted):
                        state = "open, and should not be" if open_ else "closed, and should be open"
                        yield f"{source.name} -> {target.name}:{port}/{protocol} is {state}"


def _monitors(stack):
    for monitor in stack.of("PodMonitor"):
        chosen = [one for one in stack.workloads() if matches(monitor["spec"]["selector"], labels(one))]
        if {labels(one)["app.kubernetes.io/component"] for one in chosen} != {"learner", "rewarder", "sampler"}:
            yield "PodMonitor: expected to select the three services"
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for one in chosen:
                if environment.port(one, endpoint["port"]) is None:
                    yield f"PodMonitor: {one['metadata']['name']} has no port {endpoint['port']}"
