"""Looking for what figures do not show: an auditor that sees a model's API and data, nothing else."""

from __future__ import annotations

from sciai.trust.audit.auditor import Auditor, Report
from sciai.trust.audit.subject import Candidate, Relation, Subject, remembered
from sciai.trust.audit.tools import TOOLS, Evidence

__all__ = ["TOOLS", "Auditor", "Candidate", "Evidence", "Relation", "Report", "Subject", "remembered"]
