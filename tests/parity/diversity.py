"""The diversity term and the anchors in PyTorch, for the comparison of an epoch with `ddpo train`."""

import torch
import torch.nn.functional as F

import keyed_noise
import transition
from keyed_noise import Purpose


def structure(grey):
    """Returns images [N, 1, H, W] without brightness and contrast, over windows of 7 pixels."""
    padded = F.pad(grey, (3, 3, 3, 3), mode="replicate").unfold(2, 7, 1).unfold(3, 7, 1)
    return (grey - padded.mean((-1, -2))) / (padded.var((-1, -2), unbiased=False) + 0.03**2).sqrt()


def similarities(images, labels=None):
    """Returns the mean similarity of each image [N, 3, H, W] in [-1, 1], at most 32 pixels a side, to the others of its
    class."""
    levels = images.double().clamp(-1, 1) * 0.5 + 0.5
    grey = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64), levels)[:, None]
    found = torch.zeros(len(images), dtype=torch.float64)
    labels = torch.zeros(len(images)) if labels is None else labels
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        if len(rows) > 1:
            kernels = [kernel(features[rows].flatten(1)) for features in (levels, structure(grey))]
            found[rows] = sum((one.sum(1) - 1) / (len(rows) - 1) for one in kernels) / 2
    return found


def kernel(rows):
    """Returns exp(-d^2 / 2 h^2), h the median distance of all pairs (the lower one of two in the middle)."""
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    above = distances[torch.triu(torch.ones_like(distances, dtype=torch.bool), 1)]
    return torch.exp(-(distances**2) / (2 * above.median() ** 2))


class Anchors:
    """The anchors of a run: `count` samples of `unet`, drawn by keyed noise with DDIM at eta 1."""

    def __init__(self, unet, scheduler, seed, count, shape, classes=()):
        self.scheduler, self.seed = scheduler, seed
        self.labels = torch.tensor([classes[row % len(classes)] for row in range(count)]) if classes else None
        noise = [
            torch.stack([keyed_noise.normal(seed, Purpose.ANCHOR, 0, row, step, shape) for row in range(count)])
            for step in range(len(scheduler.timesteps) + 1)
        ]
        self.images = noise[0]
        with torch.no_grad():
            for step, t in enumerate(scheduler.timesteps.tolist()):
                mu = transition.mean(scheduler, unet(self.images, t, self.labels).sample, t, self.images, 1.0)
                self.images = mu + transition.sigma(scheduler, t, 1.0) * noise[step + 1]

    def loss(self, unet, step, count):
        """Returns the mean diffusion loss on the `count` anchors of an optimizer step."""
        draws = keyed_noise.uniform(self.seed, Purpose.ANCHOR_CHOICE, step, 0, 0, 2 * count)
        timesteps = self.scheduler.config.num_train_timesteps
        rows = [int(draw * len(self.images)) for draw in draws[:count]]
        t = torch.tensor([int((part + draw) / count * timesteps) for part, draw in enumerate(draws[count:])])
        shape = self.images.shape[1:]
        noise = torch.stack(
            [keyed_noise.normal(self.seed, Purpose.ANCHOR_NOISE, step, part, 0, shape) for part in range(count)]
        )
        noised = self.scheduler.add_noise(self.images[rows], noise, t)
        labels = None if self.labels is None else self.labels[rows]
        kind = self.scheduler.config.prediction_type
        velocity = self.scheduler.get_velocity(self.images[rows], noise, t)
        target = {"epsilon": noise, "sample": self.images[rows], "v_prediction": velocity}[kind]
        return ((unet(noised, t, labels).sample - target) ** 2).mean()
