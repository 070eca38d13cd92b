"""The id under which what was asked for is found again: in the log, in events, in a VIM's log."""

from esc_daemon.domain.ids import OperationId, RecordId, derived
from esc_daemon.domain.record import DeploymentRecord, OperationType, Record
from esc_daemon.domain.step import Step


def operation_id(id_: RecordId, kind: OperationType) -> OperationId:
    """Return the id of the operation *kind* on the incarnation *id_* of a deployment."""
    return OperationId(derived(id_, "operation", kind))


def operation_of(record: Record) -> OperationId:
    """
    Return the operation that *record* is in.

    It is durable, since it follows from the record. What is no deployment has one operation
    over its whole life, which bears the record's id.
    """
    if isinstance(record, DeploymentRecord) and record.operation is not None:
        return record.operation.id
    return OperationId(record.id)


def begun_by(step: Step) -> OperationId | None:
    """Return the operation that *step*, an edit's, began; None where it did nothing."""
    before, record = step.before, step.record
    if record is None:
        return None if before is None else operation_of(before)
    if isinstance(record, DeploymentRecord) and record.successor is not None:
        # the operation that is under way is not what was asked for now
        return operation_id(record.successor.id, OperationType.INSTANTIATE)
    return operation_of(record)
