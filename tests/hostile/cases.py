"""All cases."""

import archives
import cards
import images
import models
import settings
import tensors
import wire

COMMANDS = [*models.CASES, *tensors.CASES, *archives.CASES, *images.CASES, *settings.CASES, *cards.CASES]
SERVICES = wire.CASES
ALL = [*COMMANDS, *SERVICES]
