"""Trains the sentiment model that ships: `train.py KNOWN.csv HELD_OUT.csv DIRECTORY` (see README.md beside it).

A BERT of two small layers learns from generated reviews and is judged by others, whose sentences come from templates
that it has never seen. Writes `model.onnx`, `tokenizer.json` and `config.json`, as `optimum-cli export onnx` would.
"""

import csv
import inspect
import json
import os
import pathlib
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import onnxruntime
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification

SEED = 20_260
LABELS = ["negative", "positive"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN = 0, 1
LONGEST = 128
EPOCHS = 7
BATCH = 64
RATE = 1e-3
# Words that nobody has generated are to be read over, not to be feared.
FORGOTTEN, STRANGE = 0.08, 0.08


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows]


def learn_tokenizer(texts):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=1_600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return tokenizer


def batches(encoded, labels, order):
    """Texts of about one length together, in the order of `order`."""
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        width = max(len(encoded[row]) for row in rows)
        ids = torch.full((len(rows), width), PAD)
        for place, row in enumerate(rows):
            ids[place, : len(encoded[row])] = torch.tensor(encoded[row])
        yield ids, (ids != PAD).long(), torch.tensor([labels[row] for row in rows])


def disturbed(ids, vocabulary):
    """Some words are unknown, some are others."""
    chance = torch.rand(ids.shape)
    chance[ids < len(SPECIAL)] = 1
    others = torch.randint(len(SPECIAL), vocabulary, ids.shape)
    ids = torch.where((FORGOTTEN <= chance) & (chance < FORGOTTEN + STRANGE), others, ids)
    return ids.masked_fill(chance < FORGOTTEN, UNKNOWN)


def learn(encoded, labels, config):
    model = BertForSequenceClassification(config)
    steps = EPOCHS * (-(-len(encoded) // BATCH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    shuffle = random.Random(SEED)
    model.train()
    for epoch in range(EPOCHS):
        order = list(range(len(encoded)))
        shuffle.shuffle(order)
        # Sorted within a few batches: little padding, and still another order in each epoch.
        order = [
            row
            for start in range(0, len(order), BATCH * 20)
            for row in sorted(order[start : start + BATCH * 20], key=lambda row: len(encoded[row]))
        ]
        total = 0.0
        for ids, mask, wanted in batches(encoded, labels, order):
            ids = disturbed(ids, config.vocab_size)
            loss = model(input_ids=ids, attention_mask=mask, labels=wanted).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(wanted)
        print(f"epoch {epoch + 1}: loss {total / len(encoded):.4f}", file=sys.stderr)
    return model.eval()


def export(model, path):
    example = torch.tensor([[2, 5, 3], [2, 3, 0]])
    axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", "token_type_ids")}
    options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(
        model,
        (example, (example != PAD).long(), torch.zeros_like(example)),
        path,
        input_names=list(axes),
        output_names=["logits"],
        dynamic_axes=axes | {"logits": {0: "batch"}},
        opset_version=14,
        **options,
    )


def judge(session, encoded, labels):
    right = 0
    for ids, mask, wanted in batches(encoded, labels, list(range(len(encoded)))):
        inputs = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        inputs["token_type_ids"] = numpy.zeros_like(inputs["input_ids"])
        (logits,) = session.run(["logits"], inputs)
        right += int((logits.argmax(1) == wanted.numpy()).sum())
    return right / len(labels)


def main():
    known, held_out, directory = (pathlib.Path(argument) for argument in sys.argv[1:4])
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    texts, labels = read(known)
    tokenizer = learn_tokenizer(texts)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)

    def encode(texts):
        return [encoding.ids[: LONGEST - 1] + encoding.ids[-1:] if len(encoding.ids) > LONGEST else encoding.ids
                for encoding in tokenizer.encode_batch(texts)]

    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=LONGEST,
        pad_token_id=PAD,
        id2label=dict(enumerate(LABELS)),
        label2id={label: place for place, label in enumerate(LABELS)},
        problem_type="single_label_classification",
    )
    model = learn(encode(texts), labels, config)
    config.architectures = ["BertForSequenceClassification"]
    # What the versions of a library say of themselves is no part of the model.
    described = {key: value for key, value in config.to_diff_dict().items() if not key.endswith("_version")}
    (directory / "config.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    export(model, str(directory / "model.onnx"))

    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    for name, path in (("known", known), ("held out", held_out)):
        texts, labels = read(path)
        print(f"accuracy, {name} templates: {judge(session, encode(texts), labels):.4f} of {len(texts)} reviews")


if __name__ == "__main__":
    main()
