"""Odd strings and what Hugging Face's `tokenizers` make of them: `tokens.py ZOO_TOKENIZER DIRECTORY`.

Writes `strings.json` and, for the shipped tokenizer and for some that are trained here, `NAME.json` and `NAME.ids.json`.
"""

import json
import pathlib
import random
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SHIPPED, DIRECTORY = sys.argv[1], pathlib.Path(sys.argv[2])
COUNT = 10_000
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    " \t\n\r\u00a0\u2003\u200b\u3000\ufeff",
    ".,;:!?'\"()[]{}<>@#$%^&*-_=+/\\|`~",
    "äöüßéèñçøåŁžİıſẞǅ",
    "ΑΩαωςЖяћאבعربी हि",
    "你好世界漢字かなカナ한국어㐀𠀀",
    "🙂👩‍👩‍👧‍👦🇩🇪\u0301\u0308\u20e3\u200d\ufe0f",
    "\u0000\u0001\u007f\u0085\u009f\ufffd\ufffe\ue000",
    "\u2028\u2029\u202e\u1e9b\u0323ﬁ½Ⅷ℡①",
]
WORDS = ["[CLS]", "[SEP]", "[MASK]", "<s>", "don't", "I'll", "http://a.b/c?d=e", "3,50 €", "x" * 120, "##ing", "\u2581the"]


def strings():
    chance = random.Random(4711)
    for number in range(COUNT):
        parts = []
        for _ in range(chance.randint(0, 12)):
            if chance.random() < 0.2:
                parts.append(chance.choice(WORDS))
            elif chance.random() < 0.1:
                # Any letter that there is, but no half of a surrogate pair.
                parts.append(chr(chance.choice([chance.randint(0, 0xD7FF), chance.randint(0xE000, 0x10FFFF)])))
            else:
                alphabet = chance.choice(ALPHABETS)
                parts.append("".join(chance.choice(alphabet) for _ in range(chance.randint(1, 9))))
        yield chance.choice(["", " "]).join(parts)


def trained(texts):
    corpus = texts[:3_000] + ["the lamp is great and I don't like the cable's colour, 1999 or 2026!"] * 50
    cased = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    cased.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True)
    cased.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    cased.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False))
    cased.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    yield "cased", cased

    roberta = Tokenizer(models.BPE())
    roberta.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    roberta.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    roberta.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    yield "roberta", roberta

    split = Tokenizer(models.BPE())
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    split.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    yield "split", split

    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.Sequence(
        [normalizers.Replace("``", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    # Its vocabulary has to hold every letter that it learns from.
    plain = [text for text in corpus if text.isascii()]
    unigram.train_from_iterator(
        plain, trainers.UnigramTrainer(vocab_size=900, special_tokens=["<pad>", "<unk>"], unk_token="<unk>", show_progress=False)
    )
    yield "unigram", unigram


texts = list(strings())
(DIRECTORY / "strings.json").write_text(json.dumps(texts))
for name, tokenizer in [("sentiment", Tokenizer.from_file(SHIPPED)), *trained(texts)]:
    tokenizer.save(str(DIRECTORY / f"{name}.json"))
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    (DIRECTORY / f"{name}.ids.json").write_text(json.dumps(ids))
