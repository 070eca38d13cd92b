"""
What belongs to a tenant and is shown or acted upon beside the tenant: who may see and touch it.

Rules name nodes. A leftover stands outside the node of its tenant, which may even be gone, and is
judged as if it stood inside.
"""

from esc_daemon.access.rights import At, Guarded, Rights, Way
from esc_daemon.access.writing import Model, WriteCheck
from esc_daemon.datamodel.entries import DATAMODEL, EntryPath
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.ids import Kind, TenantName
from esc_daemon.domain.leftovers import LeftoverRef
from esc_daemon.netconf.errors import RpcError


class Tenancy:
    """What one user may, by rights that never change; implements `domain.leftovers.Asker`."""

    def __init__(self, rights: Rights, model: Model, writes: WriteCheck | None) -> None:
        """Make one; *writes* None: the user may change everything."""
        self._rights = rights
        self._writes = writes
        root = model.data_root(NAMESPACE, DATAMODEL)
        assert root is not None
        self._root: Guarded = root

    def shows(self, tenant: str) -> bool:
        """Tell whether the user may read the state of *tenant*, there or not."""
        return self._sees(*self._state(tenant))

    def sees(self, left: LeftoverRef) -> bool:
        """Tell whether he may read what *left* belonged to: its configuration and its state."""
        if self._rights.reads_all or not left.of_tenant:
            return True
        state, configured = self._state(left.of_tenant), self._configured(left.of_tenant)
        if left.deployment:
            state = _below(state, "deployments", left.deployment)
            configured = _below(_below(configured, "deployments"), "deployment", left.deployment)
        return self._sees(*state) and self._sees(*configured)

    def check(self, left: LeftoverRef) -> None:
        """
        Look whether he may act upon *left*: who may update what it belonged to.

        Raises:
            RpcError: access-denied. What stood at the root is for who may change everything.

        """
        if self._writes is None:
            return
        if not left.of_tenant:
            raise RpcError.access_denied("")
        if left.deployment:
            entry = EntryPath(Kind.DEPLOYMENT, TenantName(left.of_tenant), left.deployment)
        else:
            entry = EntryPath(Kind.TENANT, None, left.of_tenant)
        self._writes.update(entry)

    def _sees(self, *way: At) -> bool:
        return self._rights.seen(way) == way

    def _configured(self, tenant: str) -> Way:
        return _below(_below((At(self._root),), "tenants"), "tenant", tenant)

    def _state(self, tenant: str) -> Way:
        return _below(_below(_below((At(self._root),), "opdata"), "tenants"), "tenant", tenant)


def _below(way: Way, name: str, *keys: str) -> Way:
    return (*way, At(way[-1].schema.children[name], keys))
