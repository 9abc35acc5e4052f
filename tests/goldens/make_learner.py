"""Writes learner.json: what PyTorch computes for the parts of the DDPO update.

The format is described in README.md beside this file. Run by `make goldens`.
"""

import json
import math

import torch
from diffusers import DDIMScheduler, DDPMScheduler

from common import FOLDER, generator

OUT = FOLDER / "learner.json"


def plain(value):
    """A tensor as shape and numbers; Python prints the shortest text that gives the same float."""
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "data": value.detach().double().flatten().tolist()}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def adamw(seed, settings, learning_rates, scale):
    """AdamW over a matrix, a vector and a convolution kernel, with gradients of size `scale`."""
    g = generator(seed)
    shapes = {"conv.weight": (2, 3, 3, 3), "linear.weight": (4, 5), "norm.bias": (7,)}
    initial = {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}
    parameters = {name: value.clone().requires_grad_() for name, value in initial.items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=1.0, **settings)
    steps = []
    for lr in learning_rates:
        for group in optimizer.param_groups:
            group["lr"] = lr
        gradients = {name: scale * torch.randn(shape, generator=g) for name, shape in shapes.items()}
        for name, parameter in parameters.items():
            parameter.grad = gradients[name].clone()
        optimizer.step()
        state = {name: optimizer.state[p] for name, p in parameters.items()}
        steps.append({
            "lr": lr,
            "gradients": gradients,
            "parameters": {n: p.detach().clone() for n, p in parameters.items()},
            "exp_avg": {n: s["exp_avg"].clone() for n, s in state.items()},
            "exp_avg_sq": {n: s["exp_avg_sq"].clone() for n, s in state.items()},
        })
    return {"settings": settings, "initial": initial, "steps": steps}


def adamw_cases():
    default = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 1e-4}
    yield adamw(1, default, [9e-8, 1e-6, 3.74e-6, 2e-6, 4e-7], 1.0)
    yield adamw(2, default, [1e-4] * 5, 1e-6)
    yield adamw(3, default | {"weight_decay": 0.0}, [1e-3, 0.0, 1e-3], 10.0)
    yield adamw(4, {"betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1}, [1e-2] * 4, 0.1)


def clip_cases():
    for seed, scale, max_norm in [(5, 1.0, 1.0), (6, 0.01, 1.0), (7, 100.0, 0.5)]:
        g = generator(seed)
        gradients = [scale * torch.randn(shape, generator=g) for shape in [(3, 4), (5,), (2, 2, 3, 3)]]
        leaves = [torch.zeros_like(x) for x in gradients]
        for leaf, gradient in zip(leaves, gradients):
            leaf.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(leaves, max_norm)
        yield {"max_norm": max_norm, "gradients": gradients, "norm": norm, "clipped": [x.grad for x in leaves]}


def advantage_cases():
    g = generator(8)
    rewards = {
        "jpeg": -1.0 - 0.2 * torch.rand(12, generator=g),
        "wide": torch.cat([torch.randn(11, generator=g), torch.tensor([40.0])]),
        "constant": torch.full((8,), 0.75),
        "two": torch.tensor([0.1, 0.3]),
    }
    for name, values in rewards.items():
        for batch_size in (None, 4):
            for clip in (None, 10.0, 1.5):
                if batch_size is not None and len(values) % batch_size:
                    continue
                parts = values.split(batch_size or len(values))
                advantages = torch.cat([(p - p.mean()) / (p.std() + 1e-6) for p in parts])
                if clip is not None:
                    advantages = advantages.clamp(-clip, clip)
                yield {"name": name, "rewards": values, "batch_size": batch_size, "clip": clip, "advantages": advantages}


def ddpo_is_cases():
    for seed, clip_ratio, spread in [(9, 1e-4, 1e-4), (10, 1e-4, 1e-3), (11, 0.2, 0.3), (12, 1e-4, 0.0)]:
        g = generator(seed)
        advantages = torch.randn(6, generator=g)
        old = -1.5 + torch.randn((6, 5), generator=g)
        new = (old + spread * torch.randn((6, 5), generator=g)).requires_grad_()
        ratio = (new - old).exp()
        weight = -advantages[:, None]
        loss = torch.maximum(weight * ratio, weight * ratio.clamp(1 - clip_ratio, 1 + clip_ratio)).mean()
        loss.backward()
        yield {
            "clip_ratio": clip_ratio,
            "advantages": advantages,
            "old_log_probs": old,
            "new_log_probs": new,
            "loss": loss,
            "gradient": new.grad,
            "clip_fraction": ((ratio - 1).abs() > clip_ratio).float().mean(),
            "approx_kl": 0.5 * ((new - old) ** 2).mean(),
        }


def forward_cases():
    """DiffusionNFT (arXiv 2509.16117, equation 5) and AWM (arXiv 2509.25050), written from the papers."""
    for seed, weighting, level_weight, beta in [
        (30, "nft", "uniform", 1.0),
        (31, "nft", "uniform", 0.1),
        (32, "nft", "adaptive", 0.5),
        (33, "advantage", "uniform", 1.0),
        (34, "advantage", "adaptive", 1.0),
    ]:
        g = generator(seed)
        shape = (5, 3, 4, 4)
        clip_ratio, largest = 0.05, 2.5
        target = torch.randn(shape, generator=g)
        old = target + 0.3 * torch.randn(shape, generator=g)
        prediction = (old + 0.05 * torch.randn(shape, generator=g)).requires_grad_()
        advantages = (2 * torch.randn(5, generator=g)).clamp(-largest, largest)

        def distance(x):
            square = ((x - target) ** 2).mean((1, 2, 3))
            if level_weight == "uniform":
                return square
            with torch.no_grad():
                scale = (x - target).abs().mean((1, 2, 3)).clamp(min=1e-5)
            return square / scale

        if weighting == "nft":
            chosen = (advantages / largest).clamp(-1, 1) / 2 + 0.5
            plus = beta * prediction + (1 - beta) * old
            minus = (1 + beta) * old - beta * prediction
            losses = largest / beta * (chosen * distance(plus) + (1 - chosen) * distance(minus))
        else:
            gain = ((old - target) ** 2).mean((1, 2, 3)) - ((prediction - target) ** 2).mean((1, 2, 3))
            if level_weight == "adaptive":
                with torch.no_grad():
                    gain_scale = (prediction - target).abs().mean((1, 2, 3)).clamp(min=1e-5)
                gain = gain / gain_scale
            ratio = gain.exp()
            losses = -torch.minimum(advantages * ratio, advantages * ratio.clamp(1 - clip_ratio, 1 + clip_ratio))
        losses.sum().backward()
        yield {
            "weighting": weighting,
            "level_weight": level_weight,
            "beta": beta,
            "clip_ratio": clip_ratio,
            "largest_advantage": largest,
            "advantages": advantages,
            "old": old,
            "target": target,
            "prediction": prediction,
            "losses": losses,
            "gradient": prediction.grad,
        }


def noised_cases():
    """What diffusers' DDPMScheduler adds and asks a model to predict."""
    g = generator(40)
    image, noise = torch.randn((3, 3, 4, 4), generator=g), torch.randn((3, 3, 4, 4), generator=g)
    timesteps = torch.tensor([0, 400, 999])
    for prediction_type in ("epsilon", "sample", "v_prediction"):
        for schedule in ("linear", "squaredcos_cap_v2"):
            scheduler = DDPMScheduler(beta_schedule=schedule, prediction_type=prediction_type)
            target = {
                "epsilon": noise,
                "sample": image,
                "v_prediction": scheduler.get_velocity(image, noise, timesteps),
            }[prediction_type]
            yield {
                "prediction_type": prediction_type,
                "beta_schedule": schedule,
                "timesteps": timesteps.tolist(),
                "image": image,
                "noise": noise,
                "state": scheduler.add_noise(image, noise, timesteps),
                "target": target,
            }


def sensitivity_cases():
    """|d mean / d output| and sigma of each step of diffusers' DDIMScheduler, by autograd in f64."""
    for prediction_type in ("epsilon", "sample", "v_prediction"):
        for spacing, steps in [("leading", 10), ("leading", 30), ("trailing", 40)]:
            scheduler = DDIMScheduler(
                prediction_type=prediction_type, timestep_spacing=spacing, clip_sample=False, set_alpha_to_one=False
            )
            scheduler.set_timesteps(steps)
            sensitivities, sigmas = [], []
            for t in scheduler.timesteps:
                output = torch.zeros((1, 1, 2, 2), dtype=torch.float64, requires_grad=True)
                state = torch.zeros_like(output)
                noise = torch.zeros_like(output)
                mean = scheduler.step(output, t, state, eta=1.0, variance_noise=noise).prev_sample
                mean.sum().backward()
                sensitivities.append(output.grad.flatten()[0].abs().item())
                previous = t - scheduler.config.num_train_timesteps // steps
                sigmas.append(scheduler._get_variance(t, previous).clamp(min=0).sqrt().item())
            yield {
                "prediction_type": prediction_type,
                "timestep_spacing": spacing,
                "steps": steps,
                "sensitivity": sensitivities,
                "sigma": sigmas,
            }


def trust_region_cases():
    """A pair has no gradient where its KL is above the limit and the ratio moves outward."""
    for seed, limit in [(50, 0.05), (51, 1e-3), (52, 1e9)]:
        g = generator(seed)
        advantages = torch.randn(6, generator=g)
        old = -1.5 + torch.randn((6, 5), generator=g)
        new = (old + 0.05 * torch.randn((6, 5), generator=g)).requires_grad_()
        moved = 0.1 * torch.rand((6, 5), generator=g)
        keep = ~((moved > limit) & (advantages[:, None] * (new.detach() - old) > 0))
        surrogate = -advantages[:, None] * (new - old).exp()
        loss = torch.where(keep, surrogate, surrogate.detach()).mean()
        loss.backward()
        yield {
            "kl_limit": limit,
            "advantages": advantages,
            "old_log_probs": old,
            "new_log_probs": new,
            "moved_nats": moved,
            "loss": loss,
            "gradient": new.grad,
        }


def decoupled_cases():
    """Hilton et al. 2021, section 3: the clip is around the proximal policy, the weight undoes the sampling one."""
    for seed, clip_ratio, spread, drift, cap in [
        (20, 1e-4, 1e-4, 1e-3, 5.0),
        (21, 1e-4, 1e-3, 0.0, 5.0),
        (22, 0.2, 0.3, 0.5, 1.2),
        (23, 0.2, 0.0, 1.0, 5.0),
    ]:
        g = generator(seed)
        advantages = torch.randn(6, generator=g)
        old = -1.5 + torch.randn((6, 5), generator=g)
        proximal = old + drift * torch.randn((6, 5), generator=g)
        new = (proximal + spread * torch.randn((6, 5), generator=g)).requires_grad_()
        importance = (proximal - old).exp().clamp(max=cap)
        ratio = (new - proximal).exp()
        surrogate = torch.minimum(
            ratio * advantages[:, None], ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * advantages[:, None]
        )
        loss = -(importance * surrogate).mean()
        loss.backward()
        yield {
            "clip_ratio": clip_ratio,
            "importance_cap": cap,
            "advantages": advantages,
            "old_log_probs": old,
            "proximal_log_probs": proximal,
            "new_log_probs": new,
            "loss": loss,
            "gradient": new.grad,
        }


def score_function_cases():
    for seed in (13, 14):
        g = generator(seed)
        advantages = torch.randn(5, generator=g)
        new = (-1.5 + torch.randn((5, 4), generator=g)).requires_grad_()
        loss = (-advantages[:, None] * new).mean()
        loss.backward()
        yield {"advantages": advantages, "new_log_probs": new, "loss": loss, "gradient": new.grad}


def reduce(values, reduction):
    return getattr(values.flatten(1), reduction)(1)


def log_prob_cases():
    for seed, sigma, reduction in [(15, 0.5, "mean"), (16, 0.01, "mean"), (17, 0.12, "sum")]:
        g = generator(seed)
        mean = torch.randn((3, 3, 4, 4), generator=g).requires_grad_()
        sample = mean.detach() + sigma * torch.randn(mean.shape, generator=g)
        density = torch.distributions.Normal(mean, torch.tensor(sigma)).log_prob(sample)
        log_prob = reduce(density, reduction)
        log_prob.sum().backward()
        yield {"mean": mean, "sample": sample, "sigma": sigma, "reduction": reduction,
               "log_prob": log_prob, "gradient": mean.grad}


def kl_cases():
    for seed, sigma, reduction in [(18, 0.5, "mean"), (19, 0.02, "sum")]:
        g = generator(seed)
        mean = torch.randn((3, 3, 4, 4), generator=g).requires_grad_()
        reference = mean.detach() + 0.1 * sigma * torch.randn(mean.shape, generator=g)
        distributions = [torch.distributions.Normal(m, torch.tensor(sigma)) for m in (mean, reference)]
        kl = reduce(torch.distributions.kl_divergence(*distributions), reduction)
        kl.sum().backward()
        yield {"mean": mean, "reference": reference, "sigma": sigma, "reduction": reduction,
               "kl": kl, "gradient": mean.grad}


def learning_rate(step, initial_lr, peak_lr, warmup_pct, total_steps):
    if initial_lr == peak_lr:
        return initial_lr
    warmup_steps = max(1, int(warmup_pct * total_steps))
    if step < warmup_steps:
        return initial_lr + step * (peak_lr - initial_lr) / warmup_steps
    min_lr = 0.1 * initial_lr
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + (peak_lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))


def schedule_cases():
    for initial_lr, peak_lr, warmup_pct, total_steps in [
        (9e-8, 3.74e-6, 0.5, 25),
        (1e-6, 1e-4, 0.0, 10),
        (1e-6, 1e-4, 0.05, 10),
        (1e-4, 1e-4, 0.5, 4),
        (1e-5, 1e-3, 0.3, 7),
        (1e-5, 1e-3, 1.0, 5),
    ]:
        arguments = (initial_lr, peak_lr, warmup_pct, total_steps)
        yield {"initial_lr": initial_lr, "peak_lr": peak_lr, "warmup_pct": warmup_pct, "total_steps": total_steps,
               "lr": [learning_rate(step, *arguments) for step in range(total_steps)]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {
        "adamw": adamw_cases(),
        "clip_grad_norm": clip_cases(),
        "advantages": advantage_cases(),
        "ddpo_is": ddpo_is_cases(),
        "decoupled": decoupled_cases(),
        "trust_region": trust_region_cases(),
        "forward": forward_cases(),
        "noised": noised_cases(),
        "sensitivity": sensitivity_cases(),
        "score_function": score_function_cases(),
        "gaussian_log_prob": log_prob_cases(),
        "gaussian_kl": kl_cases(),
        "schedule": schedule_cases(),
    }
    document = {key: plain(list(value)) for key, value in cases.items()}
    lines = ",\n".join(
        f' "{key}": [\n' + ",\n".join("  " + json.dumps(case) for case in value) + "\n ]" for key, value in document.items()
    )
    OUT.write_text("{\n" + lines + "\n}\n")
    print(f"{OUT.name} {OUT.stat().st_size} bytes, {sum(len(v) for v in document.values())} cases")
