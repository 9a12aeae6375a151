"""The public names of featlab, each re-exported once. Importing featlab imports none of them before they are used."""

from .attacks import Adversary as Adversary
from .attacks import Attack as Attack
from .attacks import pgd as pgd
from .evaluation import Accuracy as Accuracy
from .evaluation import Evaluation as Evaluation
from .evaluation import accuracy as accuracy
from .evaluation import curve as curve
from .evaluation import evaluate as evaluate
from .evaluation import predict as predict
from .freezing import frozen as frozen
from .objectives import Objective as Objective
from .objectives import activation as activation
from .objectives import classified_as as classified_as
from .objectives import cross_entropy as cross_entropy
from .objectives import dlr as dlr
from .objectives import margin as margin
from .objectives import match as match
from .objectives import misclassified as misclassified
from .objectives import objective as objective
from .objectives import stay_near as stay_near
from .problem import Problem as Problem
from .problem import Step as Step
from .problem import ascend as ascend
from .problem import maximize as maximize
from .rules import Adam as Adam
from .rules import Momentum as Momentum
from .rules import Steepest as Steepest
from .rules import StepRule as StepRule
from .threat_models import Key as Key
from .threat_models import ThreatModel as ThreatModel
from .training import Epoch as Epoch
from .training import Schedule as Schedule
from .training import train as train

__version__: str
