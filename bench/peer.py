"""The Python peer: diffusers, PyTorch and Pillow as an ordinary user would call them.

Speaks the protocol of `ddpo-bench-worker`: one JSON request a line on standard input, one JSON
answer a line on standard output. Times itself, so that imports and reading weights stay out.

    {"op": "load", "ckpt": PATH, "dtype": "f32" | "bf16", "threads": N}
    {"op": "sample", "num_samples": N, "batch_size": B, "steps": T}      -> {"seconds": s}
    {"op": "train", "num_samples": N, "steps": T, "micro_batch": M}      -> and "peak_memory_bytes"
    {"op": "jpeg", "size": S, "count": N, "threads": P}                  -> and "kilobytes"
    {"op": "reward", "task": TASK, "model": PATH, "head": FILE, "dtype": ..., "threads": N}
    {"op": "score", "size": S, "count": N}                               -> and "rewards"
    {"op": "preprocess", "model": PATH, "family": "vit" | "clip", "size": S, "count": N, "threads": P}
                                                                         -> and "mean"
"""

import concurrent.futures
import io
import json
import math
import sys
import time

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMPipeline
from diffusers.utils import logging
from PIL import Image

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Peer:
    """Holds the loaded model and answers each operation."""

    def load(self, ckpt, dtype, threads):
        torch.set_num_threads(threads)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        pipeline = DDPMPipeline.from_pretrained(ckpt)
        self.unet = pipeline.unet.eval().to(self.device, DTYPES[dtype])
        self.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        return {"ok": True}

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def sigma(self, t):
        stride = self.scheduler.config.num_train_timesteps // self.scheduler.num_inference_steps
        return float(self.scheduler._get_variance(t, t - stride) ** 0.5)

    @torch.inference_mode()
    def trajectories(self, num_samples, batch_size, steps):
        """Samples with DDIM and eta 1. Returns the states and the log-probabilities that DDPO needs."""
        self.scheduler.set_timesteps(steps)
        config = self.unet.config
        states, log_probs = [], []
        for start in range(0, num_samples, batch_size):
            count = min(batch_size, num_samples - start)
            shape = (count, config.in_channels, config.sample_size, config.sample_size)
            x = torch.randn(shape, device=self.device, dtype=self.unet.dtype)
            path, densities = [x], []
            for t in self.scheduler.timesteps.tolist():
                eps = self.unet(x, t).sample
                noise = torch.randn_like(x)
                x = self.scheduler.step(eps, t, x, eta=1.0, variance_noise=noise).prev_sample
                path.append(x)
                std = self.sigma(t)
                if std > 0:
                    squared = noise.float().pow(2).flatten(1).mean(1)
                    densities.append(-0.5 * squared - math.log(std) - 0.5 * math.log(2 * math.pi))
            states.append(torch.stack(path, 1))
            log_probs.append(torch.stack(densities, 1))
        return torch.cat(states), torch.cat(log_probs)

    def sample(self, num_samples, batch_size, steps):
        started = time.perf_counter()
        self.trajectories(num_samples, batch_size, steps)
        self.synchronize()
        return {"seconds": time.perf_counter() - started}

    def log_prob(self, x_t, x_prev, t):
        """Returns the log-probability of x_prev under the model, with one timestep per row."""
        column = lambda values: values.to(x_t.device)[:, None, None, None]  # noqa: E731
        stride = self.scheduler.config.num_train_timesteps // self.scheduler.num_inference_steps
        alphas = self.scheduler.alphas_cumprod
        previous = t - stride
        a = column(alphas[t])
        a_prev = column(torch.where(previous >= 0, alphas[previous.clamp(min=0)], self.scheduler.final_alpha_cumprod))
        eps = self.unet(x_t, t.to(x_t.device)).sample
        x_0 = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
        if self.scheduler.config.clip_sample:
            limit = self.scheduler.config.clip_sample_range
            x_0 = x_0.clamp(-limit, limit)
        variance = (1 - a_prev) / (1 - a) * (1 - a / a_prev)
        mean = a_prev.sqrt() * x_0 + (1 - a_prev - variance).sqrt() * eps
        squared = (x_prev - mean) ** 2
        density = -squared / (2 * variance) - 0.5 * variance.log() - 0.5 * math.log(2 * math.pi)
        return density.flatten(1).mean(1)

    def train(self, num_samples, steps, micro_batch):
        """Trains one mini-batch of DDPO: every (sample, step) pair with a density, then one AdamW step."""
        states, old = self.trajectories(num_samples, micro_batch, steps)
        states, old = states.clone(), old.clone()
        timesteps = self.scheduler.timesteps
        dense = [i for i, t in enumerate(timesteps.tolist()) if self.sigma(t) > 0]
        rewards = torch.tensor([float(i % 3) for i in range(num_samples)])
        deviation = rewards.std() if num_samples > 1 else torch.tensor(0.0)
        advantages = ((rewards - rewards.mean()) / (deviation + 1e-6)).clamp(-10, 10).to(self.device)
        optimizer = torch.optim.AdamW(self.unet.parameters(), lr=1e-6, weight_decay=1e-4)
        pairs = torch.cartesian_prod(torch.arange(num_samples), torch.arange(len(dense)))
        dense = torch.tensor(dense)
        self.synchronize()
        started = time.perf_counter()
        optimizer.zero_grad()
        for sample, column in (part.unbind(1) for part in pairs.split(micro_batch)):
            step = dense[column]
            new = self.log_prob(states[sample, step], states[sample, step + 1], timesteps[step])
            ratio = (new - old[sample, column]).exp()
            weight = -advantages[sample]
            loss = torch.maximum(weight * ratio, weight * ratio.clamp(1 - 1e-4, 1 + 1e-4)).sum() / len(pairs)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        optimizer.step()
        self.synchronize()
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "pairs": len(pairs), "peak_memory_bytes": peak_memory_bytes()}

    def jpeg(self, size, count, threads):
        """Computes JPEG sizes at quality 95, in a loop or, with several threads, in a thread pool."""
        images = test_images(size, count)
        started = time.perf_counter()
        if threads > 1:
            with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                sizes = list(pool.map(jpeg_kilobytes, images))
        else:
            sizes = [jpeg_kilobytes(image) for image in images]
        return {"seconds": time.perf_counter() - started, "kilobytes": sum(sizes)}


    def reward(self, task, model, head, dtype, threads):
        """Loads transformers' network, its image processor, and LAION's head if `head` is given."""
        import transformers

        torch.set_num_threads(threads)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        clip = task == "aesthetic score"
        kind = transformers.CLIPVisionModelWithProjection if clip else transformers.ViTForImageClassification
        self.network = kind.from_pretrained(model).eval().to(self.device, DTYPES[dtype])
        self.processor = image_processor(model, "clip" if clip else "vit")
        self.head = aesthetic_head(head).to(self.device) if head else None
        return {"ok": True}

    @torch.inference_mode()
    def score(self, size, count):
        """Returns the aesthetic score, or the sum of the logits of 50 years and older."""
        images = [Image.fromarray(pixels) for pixels in test_images(size, count)]
        started = time.perf_counter()
        pixels = self.processor(images, return_tensors="pt")["pixel_values"]
        outputs = self.network(pixel_values=pixels.to(self.device, self.network.dtype))
        if self.head is not None:
            embeddings = outputs.image_embeds.float()
            rewards = self.head(embeddings / embeddings.norm(dim=-1, keepdim=True)).squeeze(-1)
        else:
            rewards = outputs.logits.float()[:, 6:].sum(-1)
        rewards = rewards.tolist()
        return {"seconds": time.perf_counter() - started, "rewards": rewards}

    def preprocess(self, model, family, size, count, threads):
        torch.set_num_threads(threads)
        processor = image_processor(model, family)
        images = [Image.fromarray(pixels) for pixels in test_images(size, count)]
        started = time.perf_counter()
        pixels = processor(images, return_tensors="pt")["pixel_values"]
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "mean": pixels.double().mean().item()}


def image_processor(model, family):
    """Returns the image processor that uses Pillow; torchvision is not installed."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    kind = CLIPImageProcessorPil if family == "clip" else ViTImageProcessorPil
    return kind.from_pretrained(model)


def aesthetic_head(path):
    widths = [768, 1024, 128, 64, 16, 1]
    places = [0, 2, 4, 6, 7]
    layers = torch.nn.ModuleDict()
    for place, (inputs, outputs) in zip(places, zip(widths, widths[1:]), strict=True):
        layers[str(place)] = torch.nn.Linear(inputs, outputs)
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    layers.load_state_dict({name.removeprefix("layers."): value for name, value in tensors.items()})
    return torch.nn.Sequential(*layers.values()).eval()


def jpeg_kilobytes(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return len(buffer.getvalue()) / 1000


def test_images(size, count):
    """Returns the images of `ddpo-bench-worker`: a slope with noise from a linear congruential generator."""
    per_image = size * size * 3
    powers = np.multiply.accumulate(np.full(per_image * count, 1664525, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.append(np.uint32(1), powers[:-1]), dtype=np.uint32)
    state = powers * np.uint32(0x9E3779B9) + np.uint32(1013904223) * sums
    noise = (state >> np.uint32(27)).reshape(count, per_image)
    position = np.arange(per_image) // 3
    images = []
    for index in range(count):
        slope = ((position % size + position // size + index) * 255 // (2 * size)).astype(np.uint8)
        pixels = np.minimum(slope.astype(np.uint16) + noise[index], 255).astype(np.uint8)
        images.append(pixels.reshape(size, size, 3))
    return images


def peak_memory_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def main():
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(peer, request.pop("op"))(**request)), flush=True)


if __name__ == "__main__":
    main()
