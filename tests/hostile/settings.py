"""Settings files, environment variables, flags, and folders of runs."""

from case import DRY_RUN, SAMPLE, Case, links, writes

CONFIG = [*DRY_RUN, "--config=bad.toml"]
LINES = '{"epoch": 1, "reward_mean": 0.5}\n'


def toml(name, content, is_accepted=False):
    return Case(f"toml {name}", CONFIG, writes("bad.toml", content), is_accepted)


def flags(name, *more, is_accepted=False):
    return Case(f"flag {name}", [*DRY_RUN, *more], None, is_accepted)


def sample(name, *more, is_accepted=False):
    """Returns a case of `ddpo sample` with flags that replace the usual ones."""
    given = [flag.partition("=")[0] for flag in more]
    kept = [flag for flag in SAMPLE if flag.partition("=")[0] not in given]
    return Case(f"flag sample {name}", [*kept, *more], None, is_accepted)


def pretrain(name, *more):
    command = ["pretrain", "--unet-config=unet.json", "--faces=1", "--steps=1", "--batch-size=1", "--device=cpu", "--out=out"]
    return Case(f"flag pretrain {name}", [*command, *more])


def variable(name, key, value):
    return Case(f"variable {name}", DRY_RUN, environment={key: value})


def run_with(name, arguments, **files):
    """Returns a case with a run's folder of these files; the names have underscores for dots."""

    def prepare(folder):
        for file, content in files.items():
            writes("run/" + file.replace("_", "."), content)(folder)

    return Case(f"run {name}", arguments, prepare)


REPORT = ["report", "run", "--no-sampling"]
RESUME = ["train", "--resume", "--output-dir=run", "--device=cpu"]
EVALUATE = ["evaluate", "run", "--out=out", "--device=cpu", "--threads=1"]

CASES = [
    toml("empty", "", True),
    toml("with a byte order mark", b"\xef\xbb\xbfbatch_size = 5\n", None),
    toml("of zeros", b"\0" * 100),
    toml("of bytes", bytes(range(256))),
    toml("of deep lists", "a = " + "[" * 1_000_000),
    toml("of deep keys", ".".join(["a"] * 200_000) + " = 1"),
    toml("of a million tables", "[a]\n" * 1_000_000),
    toml("of ten megabytes of text", 'task = "' + "x" * 10_000_000 + '"'),
    toml("with one key twice", "batch_size = 5\nbatch_size = 5\n"),
    toml("with a huge number", "run_seed = 9223372036854775808\n"),
    toml("with a number of a million digits", "run_seed = " + "9" * 1_000_000),
    toml("with a date", "run_seed = 2026-01-01"),
    toml("with not a number", "eta = nan"),
    toml("with an infinite reward", "manual_best_reward = -inf"),
    toml("with a list for a number", "batch_size = [5]"),
    toml("with a table for a number", "[batch_size]\na = 1"),
    toml("with an escape", 'task = "\\u001b[2J"'),
    toml("with an escape in a key", '"\\u001b[2J" = 1'),
    toml("with a line break in a key", '"batch\\nsize" = 1'),
    toml("with a list of a million texts", "wandb_tags = [" + '"a",' * 1_000_000 + "]", None),
    toml("with a service table of junk", "[service]\nanything = 1\n", None),
    toml("with an unknown table", "[trian]\nbatch_size = 5\n"),
    toml("with classes of texts", 'class_labels = ["a"]'),
    toml("with a million classes", "class_labels = [" + "7," * 1_000_000 + "]"),
    Case("toml a folder", [*DRY_RUN, "--config=model"]),
    Case("toml missing", [*DRY_RUN, "--config=none.toml"]),
    Case("toml an endless device", CONFIG, links("bad.toml", "/dev/zero")),
    flags("a seed of 2^63", "--run-seed=9223372036854775808"),
    flags("a seed of 2^200", f"--run-seed={2**200}"),
    flags("a negative seed", "--eval-rnd-seed=-1"),
    flags("a reward that is not a number", "--manual-best-reward=nan"),
    flags("an infinite reward", "--manual-best-reward=inf"),
    flags("an infinite rate", "--peak-lr=1e999"),
    flags("a decay of one", "--ema-decay=1"),
    flags("2^32 samples", "--num-samples-per-epoch=4294967296", "--batch-size=1"),
    flags("a batch of zero", "--batch-size=0"),
    flags("a batch of a fraction", "--batch-size=0.5"),
    flags("a batch of words", "--micro-batch-size=many"),
    flags("a class twice", "--class-labels=1,1"),
    flags("a class of 2^64", "--class-labels=18446744073709551616"),
    flags("no classes", "--class-labels="),
    flags("a window of 2^64", "--window=18446744073709551616"),
    flags("no folder", "--output-dir="),
    flags("an eta without effect", "--scheduler=ddpm", "--eta=0.5"),
    flags("a long value", "--task=" + "x" * 100_000),
    flags("an escape", "--task=\x1b[2J"),
    flags("ten thousand rewards", "--reward=" + " + ".join(["0.5*over50"] * 2000)),
    flags("a weight beyond a double", "--reward=1e400*over50"),
    flags("a server without a port", "--reward=grpc://host"),
    flags("a server of many", "--reward=grpc://" + ",".join(["h:1"] * 10_000), is_accepted=None),
    flags("an unknown flag", "--batch-sise=5"),
    flags("a word", "surplus"),
    Case("flag an unknown command", ["trian"]),
    sample("no samples", "--num-samples=0"),
    sample("2^32 samples", "--num-samples=4294967296"),
    sample("a seed of 2^64", "--seed=18446744073709551616"),
    sample("a seed of 2^64 - 1", "--seed=18446744073709551615", is_accepted=True),
    sample("a class of an unconditional model", "--class-labels=0"),
    sample("a class with an escape", "--class-labels=\x1b[2J"),
    sample("a billion steps", "--num-inference-steps=1000000000"),
    sample("an eta", "--eta=nan"),
    sample("an eta without effect", "--scheduler=ddpm", "--eta=0"),
    sample("an unknown device", "--device=cuda:99999999999"),
    sample("many threads", "--threads=1000000"),
    sample("no folder", "--out="),
    sample("into a file", "--out=picture.png/out"),
    pretrain("a rate that is not a number", "--learning-rate=nan"),
    pretrain("a negative rate", "--learning-rate=-1"),
    pretrain("a decay of two", "--ema-decay=2"),
    pretrain("images of nothing", "--images=model"),
    variable("of an unknown setting", "DDPO_BATCHSIZE", "5"),
    variable("of a wrong type", "DDPO_BATCH_SIZE", "five"),
    variable("with an escape", "DDPO_TASK", "\x1b[2J"),
    variable("that is empty", "DDPO_BATCH_SIZE", ""),
    variable("that is not UTF-8", "DDPO_TASK", "\udcff\udcfe"),
    run_with("without files", REPORT),
    run_with("with settings of junk", REPORT, run_toml=b"\0\1\2", metrics_jsonl=LINES),
    run_with("with metrics of junk", REPORT, run_toml="batch_size = 5\n", metrics_jsonl="[" * 100_000),
    run_with("with a line of nulls", REPORT, run_toml="batch_size = 5\n", metrics_jsonl="null\n" * 1000),
    run_with("to resume without files", RESUME),
    run_with("to resume with settings of junk", RESUME, run_toml="batch_size = 'five'"),
    run_with("to resume with unknown settings", RESUME, run_toml="[start]\nweights = 'x'\nbatch_sise = 5\n"),
    run_with("to evaluate without files", EVALUATE),
    run_with("to evaluate with settings of junk", EVALUATE, run_toml="task = 7"),
]
