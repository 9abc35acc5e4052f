"""Autoscalers and disruption budgets have existing targets and metrics, and stay within the limits."""

import environment
from reach import matches
from stacks import container, labels


def check(stack, binaries):
    """Yields autoscalers and budgets with wrong targets, metrics or limits."""
    problems = [*_budgets(stack), *_targets(stack)]
    resolved = {name: binaries.resolved(stack, one)[0] for name, one in stack.services().items()}
    if all(resolved.values()):
        problems += [*_rewarders(stack, resolved), *_samplers(stack, resolved)]
    return problems


def _budgets(stack):
    covered = set()
    for budget in stack.of("PodDisruptionBudget"):
        title = f"PodDisruptionBudget {budget['metadata']['name']}"
        chosen = [one for one in stack.workloads() if matches(budget["spec"]["selector"], labels(one))]
        if len(chosen) != 1:
            yield f"{title}: selects the pods of {len(chosen)} workloads, expected 1"
        covered |= {one["metadata"]["name"] for one in chosen}
    for name in {one["metadata"]["name"] for one in stack.services().values()} - covered:
        yield f"{name}: no PodDisruptionBudget"


def _targets(stack):
    """Yields workloads whose replicas have more than one source."""
    scaled = [one["spec"]["scaleTargetRef"] for one in stack.of("HorizontalPodAutoscaler") + stack.of("ScaledObject")]
    for target in scaled:
        workload = stack.get(target["kind"], target["name"])
        if not workload:
            yield f"scaleTargetRef: no {target['kind']} {target['name']}"
        elif "replicas" in workload["spec"]:
            yield f"{target['name']}: replicas are set, and an autoscaler sets them too"
    if len({target["name"] for target in scaled}) != len(scaled):
        yield "two autoscalers have one target"
    if stack.get("StatefulSet", "ddpo-learner")["spec"]["replicas"] != 1:
        yield "ddpo-learner: expected one"


def _rewarders(stack, resolved):
    for scaler in stack.of("HorizontalPodAutoscaler"):
        spec, workload = scaler["spec"], stack.get("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        if spec["maxReplicas"] > resolved["learner"]["learner"]["max_rewarders"]:
            yield f"{scaler['metadata']['name']}: maxReplicas is above the learner's max_rewarders"
        for metric in spec["metrics"]:
            if metric["type"] == "Resource":
                name = metric["resource"]["name"]
                if workload and name not in container(workload)["resources"].get("requests", {}):
                    yield f"HorizontalPodAutoscaler: {name} has no resource request for the target"
            elif metric["type"] == "Pods":
                if metric["pods"]["metric"]["name"] not in METRICS:
                    yield f"HorizontalPodAutoscaler: no metric {metric['pods']['metric']['name']}"
            else:
                yield f"HorizontalPodAutoscaler: metric of type {metric['type']}"


# Metrics that an autoscaler may use; the live test finds them in a rewarder's metrics.
METRICS = {"ddpo_in_flight"}


def _samplers(stack, resolved):
    service, sampler = resolved["sampler"]["service"], resolved["sampler"]["sampler"]
    most = stack.get("Deployment", "ddpo-sampler")["spec"].get("replicas", 0)
    for scaled in stack.of("ScaledObject"):
        most = max(most, scaled["spec"]["maxReplicaCount"])
        names = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
        for metadata in names:
            # The live test queries Redis for both names.
            if metadata["stream"] != stream(service["run_id"]) or metadata["consumerGroup"] != GROUP:
                yield f"ScaledObject: {metadata['stream']} of {metadata['consumerGroup']} is not the run's orders"
            if metadata.get("pendingEntriesCount", "2") != str(sampler["batches_in_flight"]):
                yield "ScaledObject: pendingEntriesCount is not batches_in_flight"
        if not any("lagCount" in metadata for metadata in names):
            yield "ScaledObject: no trigger counts waiting orders"
        yield from _authentication(stack, scaled)
    if most > resolved["rewarder"]["rewarder"]["max_samplers"]:
        yield f"{most} samplers are above a rewarder's max_samplers"


# The group of crates/broadcast/src/remote/lua/take.lua.
GROUP = "samplers"


def stream(run_id):
    """The stream of crates/broadcast/src/remote/keys.rs."""
    return f"ddpo:{{{run_id}}}:orders"


def _authentication(stack, scaled):
    for trigger in scaled["spec"]["triggers"]:
        found = stack.get("TriggerAuthentication", trigger["authenticationRef"]["name"])
        if not found:
            yield f"ScaledObject: no TriggerAuthentication {trigger['authenticationRef']['name']}"
            continue
        for target in found["spec"]["secretTargetRef"]:
            if target["key"] not in environment.SECRETS.get(target["name"], {}):
                yield f"TriggerAuthentication: Secret {target['name']} has no key {target['key']}"
        if "external-redis" in stack.components:
            continue
        host, _, port = trigger["metadata"]["address"].partition(":")
        name, _, namespace = host.partition(".")
        service = stack.get("Service", name)
        # KEDA runs in another namespace, so the host name must include ours.
        if not service or namespace != f"{service['metadata']['namespace']}.svc":
            yield f"ScaledObject: {host} is not the full name of a Service"
        elif int(port) not in [one["port"] for one in service["spec"]["ports"]]:
            yield f"ScaledObject: Service {name} has no port {port}"
