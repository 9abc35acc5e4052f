"""Connections that the NetworkPolicies allow, by the rules that a network plugin applies."""

from ipaddress import ip_address, ip_network


def matches(selector, labels):
    """Returns whether a label selector matches these labels. An empty selector matches everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        if not _holds(rule, labels.get(rule["key"])):
            return False
    return True


def _holds(rule, value):
    return {
        "In": lambda: value in rule["values"],
        "NotIn": lambda: value not in rule["values"],
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
    }[rule["operator"]]()


class End:
    """An end of a connection: a pod, or an address outside of the cluster (without labels)."""

    def __init__(self, name, namespace=None, labels=None, ports=None, address="10.0.0.1"):
        self.name, self.namespace, self.labels = name, namespace, labels
        self.ports, self.address = ports or {}, address


def reaches(policies, source, target, port, protocol="TCP"):
    """Returns whether a connection from one end to a port of the other is allowed."""
    out = _permits(policies, "Egress", source, target, target, port, protocol)
    return out and _permits(policies, "Ingress", target, source, target, port, protocol)


def _permits(policies, direction, subject, peer, target, port, protocol):
    mine = [policy for policy in policies if _selects(policy, direction, subject)]
    if not mine:
        return True
    key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    rules = [rule for policy in mine for rule in policy["spec"].get(key, [])]
    return any(
        _any(rule.get(side), lambda one, policy_peer=peer: _is(one, policy_peer))
        and _any(rule.get("ports"), lambda one: _is_port(one, target, port, protocol))
        for rule in rules
    )


def _selects(policy, direction, subject):
    """All policies are in one namespace; ends outside of it have none."""
    here = subject.labels is not None and subject.namespace == policy["metadata"]["namespace"]
    spec = policy["spec"]
    return here and direction in spec["policyTypes"] and matches(spec["podSelector"], subject.labels)


def _any(listed, test):
    """No list, or an empty one, means all."""
    return not listed or any(test(one) for one in listed)


def _is(rule, peer):
    if "ipBlock" in rule:
        address, block = ip_address(peer.address), rule["ipBlock"]
        inside = lambda network: address.version == ip_network(network).version and address in ip_network(network)
        return inside(block["cidr"]) and not any(inside(network) for network in block.get("except", []))
    if peer.labels is None:
        return False
    if "namespaceSelector" in rule:
        place = {"kubernetes.io/metadata.name": peer.namespace}
        if not matches(rule["namespaceSelector"], place):
            return False
    elif peer.namespace != "ddpo":
        return False
    return matches(rule.get("podSelector", {}), peer.labels)


def _is_port(rule, target, port, protocol):
    if rule.get("protocol", "TCP") != protocol:
        return False
    wanted = rule.get("port")
    return wanted is None or wanted == port or target.ports.get(wanted) == port
