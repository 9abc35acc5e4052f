"""Every value that the configs of reward networks may have is in a case that is compared with transformers, or is refused
by name; and the probabilities of classifiers are those of transformers' pipeline.

The example `vision` of ddpo-rewards writes the table of accepted values.
"""

import csv
import io
import json
import subprocess

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, ViTConfig, ViTForImageClassification, pipeline
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from test_vision import draw
from vision import AGES, CASES, CLIP_TINY, REMOVED, TINY, VIT_NEW, VisionCase, build, save
from commands import run

PROBABILITY_LIMIT = 1e-5

# The defaults of configs, without which a value in a range does not count: a program that ignores the field would agree.
NETWORKS = {"vit": ViTConfig().to_dict(), "clip": CLIPVisionConfig().to_dict()}
PROCESSOR_FIELDS = ["do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize",
                    "image_mean", "image_std", "default_to_square"]  # fmt: skip


@pytest.fixture(scope="module")
def table(request, tmp_path_factory):
    """Returns {config: {field: accepted values}}."""
    examples = request.config.getoption("--ddpo").parent / "examples"
    out = tmp_path_factory.mktemp("fields") / "fields.json"
    run(examples / "vision", "fields", ".", ".", out)
    fields = json.loads(out.read_text())
    return {config: {field["name"]: field["values"] for field in table} for config, table in fields.items()}


def fits(accepted, value):
    """Whether a value is one that is accepted."""
    if "value" in accepted:
        return type(value) is type(accepted["value"]) and value == accepted["value"]
    if "list" in accepted:
        return isinstance(value, list) and bool(value) and all(fits(accepted["list"], one) for one in value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    least, most = accepted.get("whole", (float("-inf"), float("inf")))
    return ("number" in accepted or isinstance(value, int)) and least <= value <= most


def is_range(accepted):
    return "value" not in accepted and accepted.get("whole", [0, 1])[0] != accepted.get("whole", [0, 1])[1]


def network_fields(case):
    """The fields of a case's network, with defaults."""
    raw = {name: value for name, value in case.raw.items() if value is not REMOVED}
    given = case.config | {name: value for name, value in raw.items() if name in {"problem_type", "num_labels"}}
    return NETWORKS["vit" if case.kind == "vit" else "clip"] | given


def processor_defaults(case):
    named = case.processor.get("image_processor_type") or case.processor.get("feature_extractor_type")
    is_vit = named.startswith("ViT") if named else case.kind == "vit"
    kind = ViTImageProcessorPil if is_vit else CLIPImageProcessorPil
    plain = lambda value: list(value) if isinstance(value, tuple) else value
    return flat({name: plain(getattr(kind, name, None)) for name in PROCESSOR_FIELDS})


def flat(fields):
    """Replaces objects by their fields, named as in the table."""
    found = {}
    for name, value in fields.items():
        inner = value.items() if isinstance(value, dict) else []
        found |= {f"{name}.{part}": number for part, number in inner} or {name: value}
    return found


def processor_fields(case):
    defaults = processor_defaults(case)
    given = flat(case.processor)
    # A size in one form replaces the default in another.
    for whole in {name.partition(".")[0] for name in given} & {"size", "crop_size"}:
        defaults = {name: value for name, value in defaults.items() if name.partition(".")[0] != whole}
    return defaults | given


def missing(fields, cases, defaults):
    """Yields the accepted values that no case has."""
    for name, values in fields.items():
        for accepted in values:
            usual = [default.get(name) for default in defaults] if is_range(accepted) else []
            if not any(fits(accepted, case.get(name)) and case.get(name) not in usual for case in cases):
                yield f"{name} = {accepted}"


def test_every_accepted_value_has_a_case(table, gaps):
    vit = [case for case in CASES if case.kind == "vit"]
    clip = [case for case in CASES if case.kind != "vit"]
    lacking = [*missing(table["vit"], map_all(network_fields, vit), [NETWORKS["vit"]])]
    lacking += missing(table["clip"], map_all(network_fields, clip), [NETWORKS["clip"]])
    defaults = [processor_defaults(VisionCase("", kind, {}, {})) for kind in ["vit", "clip"]]
    lacking += missing(table["processor"], map_all(processor_fields, CASES), defaults)
    gaps.note("values", sum(len(values) for fields in table.values() for values in fields.values()))
    assert not lacking


def map_all(function, cases):
    return [function(case) for case in cases]


def test_the_table_has_the_fields_that_change_the_result(table, gaps):
    """A config field of transformers is in the table, or has no effect on a network in evaluation mode."""
    no_effect = {"attention_probs_dropout_prob", "attention_dropout", "hidden_dropout_prob", "initializer_range",
                 "initializer_factor", "encoder_stride", "pooler_act", "pooler_output_size", "architectures", "id2label",
                 "label2id", "dtype", "transformers_version", "output_hidden_states", "return_dict", "is_encoder_decoder",
                 "chunk_size_feed_forward", "_name_or_path", "output_attentions", "model_type"}  # fmt: skip
    for config, defaults in NETWORKS.items():
        assert set(defaults) - no_effect - set(table[config]) <= {"problem_type"}, config
    assert "problem_type" in table["vit"]
    no_effect = {"data_format", "input_data_format", "device", "return_tensors", "disable_grouping", "image_seq_length"}
    of_kwargs = set(ViTImageProcessorPil.valid_kwargs.__annotations__) - no_effect
    assert of_kwargs <= {name.partition(".")[0] for name in table["processor"]}


# A field with a value that is not accepted: (config, field, value).
REFUSED = [
    ("vit", "hidden_act", "mish"),
    ("vit", "problem_type", "regression"),
    ("vit", "num_channels", 1),
    ("vit", "qkv_bias", None),
    ("vit", "hidden_size", None),
    ("clip", "image_size", [32, 32]),
    ("clip", "hidden_act", "tanh"),
    ("processor", "image_mean", None),
    ("processor", "image_std", [0.5]),
    ("processor", "size", None),
    ("processor", "size", {"longest_edge": 32}),
    ("processor", "size", {"height": 32}),
    ("processor", "resample", 0),
    ("processor", "resample", None),
    ("processor", "rescale_factor", None),
    ("processor", "do_pad", True),
    ("processor", "do_rescale", "yes"),
    ("processor", "default_to_square", False),
    ("processor", "use_square_size", True),
    ("processor", "image_processor_type", "SiglipImageProcessor"),
]


@pytest.mark.parametrize("config, field, value", REFUSED, ids=lambda value: str(value))
def test_other_values_are_refused_by_name(config, field, value, examples, gaps, tmp_path):
    kind = "clip" if config == "clip" else "vit"
    fields = (CLIP_TINY if kind == "clip" else TINY) | ({field: value} if config == kind else {})
    processor = VIT_NEW | ({field: value} if config == "processor" else {})
    text = json.dumps({"model_type": "clip_vision_model" if kind == "clip" else "vit"} | fields)
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    (tmp_path / "model.safetensors").write_bytes((0).to_bytes(8, "little"))
    (tmp_path / "pictures").mkdir()
    command = [examples / "vision", kind, tmp_path, tmp_path / "pictures", tmp_path / "out.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"`{field}`" in done.stderr
    assert "is not supported, expected" in done.stderr or "invalid type" in done.stderr


@pytest.mark.parametrize("problem", [None, "single_label_classification", "multi_label_classification"])
def test_probabilities_are_those_of_the_pipeline(problem, ddpo, gaps, tmp_path):
    case = VisionCase("ages", "vit", TINY, VIT_NEW, raw={"problem_type": problem})
    torch.manual_seed(3)
    save(case, ViTForImageClassification(build(CASES[0]).config).eval(), tmp_path / "model")
    draw(tmp_path / "pictures", [(31, 17), (64, 65), (45, 101)])
    paths = sorted((tmp_path / "pictures").iterdir())
    classify = pipeline("image-classification", model=ViTForImageClassification.from_pretrained(tmp_path / "model"),
                        image_processor=ViTImageProcessorPil.from_dict(VIT_NEW), device="cpu")  # fmt: skip
    for age_reward in ["probability", "log-odds"]:
        text = ddpo("score", "--task", "over50 years old", "--age-reward", age_reward, "--reward-model", tmp_path / "model",
                    "--device", "cpu", *paths)  # fmt: skip
        rows = {row["image"]: row for row in csv.DictReader(io.StringIO(text))}
        for path in paths:
            image = Image.open(path).convert("RGB")
            scores = {one["label"]: one["score"] for one in classify(image, top_k=len(AGES))}
            row = rows[str(path)]
            for label in AGES:
                column = f"probability_{label.replace(' ', '_')}"
                gaps.limit("probability", abs(float(row[column]) - scores[label]), PROBABILITY_LIMIT)
            old = sum(scores[label] for label in AGES[6:])
            young = sum(scores[label] for label in AGES[:6])
            expected = old if age_reward == "probability" else torch.tensor(old / young).log().item()
            gaps.limit(age_reward, abs(float(row["reward"]) - expected), 1e-4)
    gaps.note("sum", round(sum(scores.values()), 3))
