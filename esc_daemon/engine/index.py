"""Where records are found but by their keys: under a tenant."""

from collections.abc import Iterable

from esc_daemon.domain.ids import Key, TenantName
from esc_daemon.domain.record import Record


class Index:
    """Follows from the records alone, and is moved with each of them."""

    def __init__(self) -> None:
        self.tenants: dict[TenantName | None, dict[Key, None]] = {}

    def under(self, tenant: TenantName | None) -> Iterable[Key]:
        """Return what stands under *tenant*, None: at the root, in the order of arrival."""
        return self.tenants.get(tenant, ())

    def move(self, key: Key, before: Record | None, record: Record | None) -> None:
        """Take note that *record* stands under *key* in place of *before*."""
        if record is None:
            keys = self.tenants.get(key.tenant, {})
            keys.pop(key, None)
            if not keys:
                self.tenants.pop(key.tenant, None)
        elif before is None:
            self.tenants.setdefault(key.tenant, {})[key] = None
