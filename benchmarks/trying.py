"""
The client of the chaos campaign that commits on trial (RFC 6241 section 8.4).

A confirmed commit ends in one of two ways: all of it stays, or all is as it was before. It stays
where it was confirmed, and perhaps where nobody answered to that; else it is taken back: when it
was cancelled, when its time was over, when its session ended, when the daemon died.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from random import Random

from client import Refusal, Session
from operating import BUSY, Endpoint, Life, Operator
from shapes import Shape, another, any_shape

TENANT = "tenant-on-trial"
"""Nobody else is in it: what others put into a tenant that is on trial would be refused."""
TIMEOUTS = (3, 8, 60)
SETTLE_SECONDS = 240
"""So long it may take until what is taken back is: an update is not, while another goes on."""
CLOSE_SECONDS = 1.5
"""So close to its end nobody can say which word came first."""
WAITS = "a confirmed commit waits"
FAILED = "<error-tag>rollback-failed</error-tag>"


class End(StrEnum):
    """What the client means to do with what it has committed on trial."""

    CONFIRM = "confirm"
    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(kw_only=True, slots=True)
class Trial:
    """One confirmed commit, and how far it came; without a *persist* it ends with its session."""

    after: Shape | None
    config: str
    end: End
    persist: str
    seconds: int
    pause: float
    asked: bool = False
    taken: bool = False
    confirming: bool = False
    confirmed: bool = False
    ends: float = 0.0
    """When it is over by itself, on the loop's clock."""
    start: int = 0
    """Of which daemon it is."""

    def may_be(self, before: Shape | None) -> tuple[Shape | None, ...]:
        """Return what may stand in running once it is over."""
        if self.confirmed:
            return (self.after,)
        return (before, self.after) if self.confirming else (before,)


class Trier(Operator):
    """Has one deployment, which comes, changes and goes by confirmed commits."""

    def __init__(self, number: int, seed: int, endpoint: Endpoint) -> None:
        super().__init__(number, seed, endpoint)
        self.tenant = TENANT
        self.ended: Counter[str] = Counter()

    async def _any_thing(self) -> None:
        if self.shape is not None and self._random.random() < 0.25:
            await self._act()
            return
        before, trial = self.shape, self._any_trial()
        refused = await self._to_its_end(trial)
        found = await self._settled()
        if found not in trial.may_be(before):
            self.faults.append(
                f"{self.name}: after {trial} expected one of {trial.may_be(before)}, found {found}"
            )
        if not refused or trial.taken:
            await self._note(trial, before, found)
        self.shape = found

    def _any_trial(self) -> Trial:
        random, before = self._random, self.shape
        after = None if random.random() < 0.25 else _next(before, self.name, random)
        if before is None and after is None:
            after = any_shape(self.name, random)
        if before is None:
            self.file = self._any_file()
        end = random.choice([*End, End.CONFIRM])
        seconds = random.choice(TIMEOUTS[:2] if end is End.LEAVE else TIMEOUTS)
        return Trial(
            after=after,
            config=self._with(after.xml("replace")) if after else self._without(),
            end=end,
            persist=f"trial-{random.getrandbits(32)}" if random.random() < 0.7 else "",
            seconds=seconds,
            pause=random.choice((0.0, 0.5, random.uniform(0.0, min(seconds, 10) * 1.2))),
        )

    async def _to_its_end(self, trial: Trial) -> bool:
        """Do with *trial* what its client means to, if it can; tell whether that was refused."""
        try:
            done = await self._endpoint.attempt(partial(self._begin, trial))
            if done and trial.persist:
                await asyncio.sleep(trial.pause)
                await self._endpoint.attempt(partial(self._end, trial))
        except Refusal as refusal:
            await self._judge(trial, refusal)
            return True
        return False

    async def _begin(self, trial: Trial, session: Session) -> None:
        await session.rpc("<discard-changes/>")
        await session.rpc(
            "<edit-config><target><candidate/></target>"
            f"<config>{trial.config}</config></edit-config>"
        )
        trial.asked = True
        await session.rpc(_confirmed(trial))
        trial.taken = True
        trial.ends = asyncio.get_running_loop().time() + trial.seconds
        trial.start = self._endpoint.starts
        self._acknowledge()
        if not trial.persist:
            await asyncio.sleep(trial.pause)
            await self._end(trial, session)

    async def _end(self, trial: Trial, session: Session) -> None:
        mine = f"<persist-id>{trial.persist}</persist-id>" if trial.persist else ""
        if trial.end is End.CANCEL:
            await session.rpc(f"<cancel-commit>{mine}</cancel-commit>")
        elif trial.end is End.CONFIRM:
            trial.confirming = True
            left = trial.ends - asyncio.get_running_loop().time()
            await session.rpc(f"<commit>{mine}</commit>")
            trial.confirmed = left > CLOSE_SECONDS  # else it was a commit like any other, perhaps
            self._acknowledge()

    async def _judge(self, trial: Trial, refusal: Refusal) -> None:
        """A commit may be refused while something goes on, its end once it is over by itself."""
        trial.confirming = False
        if not trial.taken:
            await self._expect(refusal, BUSY, "trial")
            return
        left = trial.ends - asyncio.get_running_loop().time()
        is_over = left < CLOSE_SECONDS or trial.start != self._endpoint.starts
        if not is_over and not (trial.end is End.CANCEL and FAILED in str(refusal)):
            self.faults.append(f"{self.name}: {trial.end} with {left} s left: found {refusal}")

    async def _settled(self) -> Shape | None:
        """Return what stands in running once no commit waits and none is being taken back."""
        ends = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while asyncio.get_running_loop().time() < ends:
            try:
                if await self._endpoint.attempt(_nothing_waits):
                    return await self._whole()
            except Refusal as refusal:
                if not any(each in str(refusal) for each in (*BUSY, WAITS)):
                    raise
            await asyncio.sleep(0.5)
        self.faults.append(f"{self.name}: expected the commit to be over in {SETTLE_SECONDS} s")
        return await self._running()

    async def _whole(self) -> Shape | None:
        """Return what stands in running; the volume and the image came and went with it."""
        found = await self._running()
        of_tenant = f"tenants/tenant[name='{self.tenant}']/volumes/volume[name='{self.licence}']"
        for where in (of_tenant, f"images/image[name='{self.image}']"):
            replies: list[bytes] = []

            async def read(session: Session, where: str = where, to: list[bytes] = replies) -> None:
                to.append(await session.get_config(f"esc_datamodel/{where}"))

            await self._endpoint.insist(read)
            is_there = b"<name>" in replies[-1].partition(b"<data")[2]
            if is_there is (found is None):
                self.faults.append(
                    f"{self.name}: expected all of a commit or nothing: {replies[-1]!r}"
                )
        return found

    async def _note(self, trial: Trial, before: Shape | None, found: Shape | None) -> None:
        """Note what was asked for, for the verdict: what is taken back was an edit, too."""
        if trial.taken:
            self.ended["confirmed" if found == trial.after else "taken back"] += 1
        if before is None and trial.taken:
            self.lives.append(Life())
        elif before is None:
            self.doubtful += trial.asked
        if before is None or trial.after is None or not trial.asked:
            return
        life = self.lives[-1]
        if trial.taken:
            life.updates += 1 if found == trial.after else 2
        else:
            life.perhaps_updates += 2
        life.lost.update([*before.without(trial.after), *trial.after.without(before)])
        self.moves += before.moves_to(trial.after)
        if found is not None and trial.taken:  # else another may stand, which this one waits for
            await self._learn_the_id()


def _next(before: Shape | None, name: str, random: Random) -> Shape:
    return any_shape(name, random) if before is None else another(before, random)


def _confirmed(trial: Trial) -> str:
    persist = f"<persist>{trial.persist}</persist>" if trial.persist else ""
    seconds = f"<confirm-timeout>{trial.seconds}</confirm-timeout>"
    return f"<commit><confirmed/>{seconds}{persist}</commit>"


async def _nothing_waits(session: Session) -> None:
    """Commit nothing: it is refused while a commit waits, and confirms none that has a persist."""
    await session.rpc("<discard-changes/>")
    await session.rpc("<commit/>")
