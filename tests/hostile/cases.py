"""All cases."""

import archives
import cards
import images
import models
import settings
import tensors

ALL = [*models.CASES, *tensors.CASES, *archives.CASES, *images.CASES, *settings.CASES, *cards.CASES]
