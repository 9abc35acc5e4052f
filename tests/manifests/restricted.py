"""The restricted Pod Security Standard, rule by rule, as the API server's admission would apply it.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (policy version v1.32).
"""

from stacks import pod

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}
SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SECCOMP = {"RuntimeDefault", "Localhost"}


def check(stack):
    """Yields violations of the standard and of two additional rules."""
    problems = []
    for workload in stack.workloads():
        title = workload["metadata"]["name"]
        spec = pod(workload)
        problems += [f"{title}: {problem}" for problem in of_pod(spec)]
        for found in containers(spec):
            problems += [f"{title}/{found['name']}: {problem}" for problem in of_container(spec, found)]
    for namespace in stack.of("Namespace"):
        level = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            problems.append(f"namespace: enforces {level}, expected restricted")
    return problems


def containers(spec):
    """Those of every kind."""
    kinds = ["initContainers", "containers", "ephemeralContainers"]
    return [found for kind in kinds for found in spec.get(kind, [])]


def of_pod(spec):
    """Yields violations of the pod."""
    context = spec.get("securityContext", {})
    for field in ["hostNetwork", "hostPID", "hostIPC"]:
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {kind} is not one of the allowed kinds"
    for sysctl in context.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']} is not one of the safe ones"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess is set"
    yield from of_context(context)
    # Additional rule: no service calls the API server.
    if spec.get("automountServiceAccountToken") is not False:
        yield "the service account's token is mounted"


def of_container(spec, found):
    """Yields violations of a container, which inherits the pod's settings."""
    context, shared = found.get("securityContext", {}), spec.get("securityContext", {})
    capabilities = context.get("capabilities", {})
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation: expected false"
    if capabilities.get("drop") != ["ALL"]:
        yield f"capabilities.drop: expected ALL, found {capabilities.get('drop')}"
    for capability in set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"capabilities.add: {capability}"
    if context.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot: expected true"
    profile = context.get("seccompProfile", shared.get("seccompProfile", {})).get("type")
    if profile not in SECCOMP:
        yield f"seccompProfile: expected RuntimeDefault or Localhost, found {profile}"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount: {context['procMount']}"
    for port in found.get("ports", []):
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"
    yield from of_context(context)
    # Additional rule: only mounted volumes are writable.
    if context.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem: expected true"


def of_context(context):
    """Yields violations of a security context of a pod or container."""
    if context.get("runAsUser") == 0:
        yield "runAsUser: 0 is root"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"seLinuxOptions: {selinux}"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") == "Unconfined":
        yield "appArmorProfile: Unconfined"
    if context.get("seccompProfile", {}).get("type", "RuntimeDefault") == "Unconfined":
        yield "seccompProfile: Unconfined"
