"""The audit of a classifier: which features it uses, how robust they are, and what it sees, as plain findings."""

from featlab.audit.findings import Audit
from featlab.audit.run import audit, terms
from featlab.audit.storing import record
from featlab.audit.subject import Limits, Subject, fitted

__all__ = ["Audit", "Limits", "Subject", "audit", "fitted", "record", "terms"]
