"""The conformance kit: laws that every plugin must hold, each with a name. Needs `pip install featlab[testing]`.

from featlab.testing import check_threat_model

def test_mine():
    check_threat_model(lambda: Mine(eps=0.3), shape=(3, 8, 8))
"""

from featlab.testing.data import DATASET_LAWS, check_dataset, judge_dataset
from featlab.testing.extractors import EXTRACTOR_LAWS, check_extractor, judge_extractor
from featlab.testing.laws import Law, Verdict, name_of, text_of
from featlab.testing.situations import Claims
from featlab.testing.strategies import BATCH, images, keys, layouts, options
from featlab.testing.tasks import TASK_LAWS, check_task, judge_task
from featlab.testing.threat_models import THREAT_MODEL_LAWS, check_threat_model, judge_threat_model

__all__ = [
    "BATCH",
    "DATASET_LAWS",
    "EXTRACTOR_LAWS",
    "TASK_LAWS",
    "THREAT_MODEL_LAWS",
    "Claims",
    "Law",
    "Verdict",
    "check_dataset",
    "check_extractor",
    "check_task",
    "check_threat_model",
    "images",
    "judge_dataset",
    "judge_extractor",
    "judge_task",
    "judge_threat_model",
    "keys",
    "layouts",
    "name_of",
    "options",
    "text_of",
]
