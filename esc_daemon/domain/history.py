"""What VMs, and groups of them, leave behind of what happened to them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from esc_daemon.domain.changed import quick


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VmHistory:
    """
    What happened to a VM, for whoever looks after it (seed 002, ruling 9).

    *recoveries* are when those that nobody asked for came to act, oldest first, an hour back at
    most. *drift* is what the VIM was last
    seen to have done to it behind our back, at *drifted*. *update_type* is the vm_update_type of
    the last VM_UPDATED that was told of it, at *updated*; *update_outcome* is how that went.
    *unmeasured*: while it was waited for nobody could measure whether it lives.
    """

    up_since: datetime | None = None
    rebooted: datetime | None = None
    reboot_cause: str = ""
    recoveries: tuple[datetime, ...] = ()
    recovered: datetime | None = None
    recovery_outcome: str = ""
    drifted: datetime | None = None
    drift: str = ""
    updated: datetime | None = None
    update_type: str = ""
    update_outcome: str = ""
    unmeasured: bool = False


NO_HISTORY: Final = VmHistory()


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class GroupHistory:
    """
    What the scalings of a group leave behind.

    No VM of it ever had *next_index* or one above; before *rests_until* nothing scales it again.
    """

    next_index: int = 0
    rests_until: datetime | None = None


NEVER_SCALED: Final = GroupHistory()
