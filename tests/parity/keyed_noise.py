"""The noise of a key in numpy: Philox4x32-10 (Salmon et al. 2011) and the Box-Muller transform, in f64."""

import enum

import numpy as np
import torch

MASK = np.uint64(0xFFFF_FFFF)
MULTIPLIERS = np.uint64(0xD251_1F53), np.uint64(0xCD9E_8D57)
WEYL = 0x9E37_79B9, 0xBB67_AE85


class Purpose(enum.IntEnum):
    """The purposes of draws that the comparisons need, as in `crates/rollout/src/noise.rs`."""

    ROLLOUT = 0
    LEVEL_CHOICE = 6
    FORWARD_NOISE = 7
    CLASS_LABEL = 8
    ANCHOR = 9
    ANCHOR_CHOICE = 10
    ANCHOR_NOISE = 11


def philox(key, counters):
    """Returns the four output words of each counter: [4, N] from counters [4, N]."""
    c = [np.asarray(word, np.uint64) & MASK for word in counters]
    keys = [key & 0xFFFF_FFFF, key >> 32]
    for _ in range(10):
        products = MULTIPLIERS[0] * c[0], MULTIPLIERS[1] * c[2]
        (high0, low0), (high1, low1) = ((p >> np.uint64(32), p & MASK) for p in products)
        c = [high1 ^ c[1] ^ np.uint64(keys[0]), low1, high0 ^ c[3] ^ np.uint64(keys[1]), low0]
        keys = [(word + weyl) & 0xFFFF_FFFF for word, weyl in zip(keys, WEYL)]
    return c


def words(seed, purpose, epoch, sample, step, count):
    """Returns `count` words of a key, four of each counter."""
    index = np.arange(-(-count // 4), dtype=np.uint64)
    upper = [np.full_like(index, word) for word in (int(purpose) << 24 | step, sample, epoch)]
    return philox(seed, [index, *upper])


def uniform(seed, purpose, epoch, sample, step, count):
    """Returns `count` draws from (0, 1)."""
    drawn = np.stack(words(seed, purpose, epoch, sample, step, count), 1).reshape(-1)
    return (((drawn >> np.uint64(8)).astype(np.float64) + 0.5) / 2**24)[:count]


def normal(seed, purpose, epoch, sample, step, shape):
    """Returns standard normal draws, f32 of `shape`."""
    count = int(np.prod(shape))
    a, b, c, d = words(seed, purpose, epoch, sample, step, count)

    def pair(first, second):
        radius = np.sqrt(-2 * np.log(((first >> np.uint64(8)).astype(np.float64) + 0.5) / 2**24))
        angle = 2 * np.pi * (second >> np.uint64(8)).astype(np.float64) / 2**24
        return radius * np.cos(angle), radius * np.sin(angle)

    drawn = np.stack([*pair(a, b), *pair(c, d)], 1).reshape(-1)[:count]
    return torch.from_numpy(drawn.astype(np.float32)).reshape(shape)


def classes(seed, epoch, samples, labels):
    """Returns the class of each training sample, drawn uniformly from `labels`, i64 [samples]."""
    draws = [uniform(seed, Purpose.CLASS_LABEL, epoch, sample, 0, 1)[0] for sample in range(samples)]
    return torch.tensor([labels[int(draw * len(labels))] for draw in draws])
