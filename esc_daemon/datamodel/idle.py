"""
Leaves of the configuration that are accepted and kept, and have no effect yet.

`coverage.check_coverage` holds this list against the YANG and the bindings: a new leaf is either
bound or written down here, and a leaf that gets its effect is taken out.
"""

from collections.abc import Mapping
from typing import Final

from esc_daemon.domain.ids import Kind

ACCEPTED_NO_EFFECT: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.NETWORK: frozenset(),
    Kind.IMAGE: frozenset(
        {
            "serial_console",
            "e1000_net",
            "virtio_net",
            "disk_bus",
        }
    ),
    Kind.FLAVOR: frozenset(
        {
            "description",
        }
    ),
    Kind.TENANT: frozenset(
        {
            "extensions/extension/name",
            "extensions/extension/properties/property/name",
            "extensions/extension/properties/property/value",
            "extensions/extension/containers/container/name",
            "extensions/extension/containers/container/properties/property/name",
            "extensions/extension/containers/container/properties/property/value",
        }
    ),
    Kind.DEPLOYMENT: frozenset(
        {
            "extensions/extension/name",
            "extensions/extension/properties/property/name",
            "extensions/extension/properties/property/value",
            "extensions/extension/containers/container/name",
            "extensions/extension/containers/container/properties/property/name",
            "extensions/extension/containers/container/properties/property/value",
            "locator/vim_region",
            "locators/datacenter",
            "policies/placement/target_vm_group_ref",
            "policies/placement/type",
            "policies/placement/enforcement",
            "policies/placement/vm_group_ref",
            "policies/startup/target_vm_group_ref",
            "policies/startup/depends_on/vm_group_ref",
            "policies/startup/depends_on/kpi_event_ref",
            "policies/policy/name",
            "policies/policy/conditions/condition/name",
            "policies/policy/actions/action/name",
            "policies/policy/actions/action/type",
            "policies/policy/actions/action/properties/property/name",
            "policies/policy/actions/action/properties/property/value",
            "vm_group/locator/vim_region",
            "vm_group/vim_vm_name",
            "vm_group/extensions/extension/name",
            "vm_group/extensions/extension/properties/property/name",
            "vm_group/extensions/extension/properties/property/value",
            "vm_group/extensions/extension/containers/container/name",
            "vm_group/extensions/extension/containers/container/properties/property/name",
            "vm_group/extensions/extension/containers/container/properties/property/value",
            "vm_group/interfaces/interface/subnet",
            "vm_group/interfaces/interface/port_security_enabled",
            "vm_group/interfaces/interface/security_groups/security_group",
            "vm_group/interfaces/interface/addresses/address/address_id",
            "vm_group/interfaces/interface/addresses/address/subnet",
            "vm_group/interfaces/interface/addresses/address/ip_address",
            "vm_group/interfaces/interface/allowed_address_pairs/network/name",
            "vm_group/interfaces/interface/allowed_address_pairs/address/ip_address",
            "vm_group/interfaces/interface/allowed_address_pairs/address/netmask",
            "vm_group/kpi_data/kpi/metric_collector/address_id",
            "vm_group/placement/type",
            "vm_group/placement/enforcement",
            "vm_group/placement/host",
            "vm_group/placement/zone",
            "vm_group/policies/policy/name",
            "vm_group/policies/policy/conditions/condition/name",
            "vm_group/policies/policy/actions/action/name",
            "vm_group/policies/policy/actions/action/type",
            "vm_group/policies/policy/actions/action/properties/property/name",
            "vm_group/policies/policy/actions/action/properties/property/value",
        }
    ),
}
