"""Rows that few batches have, as the parameters of their INSERT statements."""

from uuid import UUID

from shared.adapters.postgres.times import moment
from shared.domain.record import Audit, DeadLetter, RefusalCount


def dead_letter(record: DeadLetter) -> dict[str, object]:
    """For sql/insert_dead_letter.sql."""
    return {
        "time": moment(record.time),
        "id": UUID(bytes=record.id),
        "org": record.org,
        "backbone": record.backbone,
        "reason": record.reason,
        "attempts": record.attempts,
    }


def refusal_count(record: RefusalCount) -> dict[str, object]:
    """For sql/insert_refusal_count.sql."""
    return {
        "record_id": UUID(bytes=record.record_id),
        "second": moment(record.second * 1_000_000),
        "org": record.org,
        "principal": record.principal,
        "rule": record.rule,
        "count": record.count,
    }


def audit(record: Audit) -> dict[str, object]:
    """For sql/insert_audit.sql."""
    return {
        "record_id": UUID(bytes=record.record_id),
        "time": moment(record.time),
        "org": record.org,
        "principal": record.principal,
        "action": record.action,
        "path": record.path,
        "before": record.before,
        "after": record.after,
    }
