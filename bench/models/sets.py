"""Data that the benchmarks of training are made on: scikit-learn's small sets, and generated ones."""

import numpy
import pandas
from sklearn import datasets
from sklearn.model_selection import train_test_split

FRAUD_ROWS, FRAUDS = 284_807, 492


def small(load):
    """A set of scikit-learn's package."""

    def draw(seed):
        found = load(return_X_y=True)
        return frame(*found)

    return draw


def frame(values, target):
    rows = pandas.DataFrame(values, columns=[f"x{column}" for column in range(values.shape[1])], dtype=float)
    rows["y"] = target
    return rows


def fraud(seed, rows=FRAUD_ROWS):
    """28 heavy-tailed components, an amount and a time; 0.17 % frauds: strongly shifted, moderately shifted, visible only
    in two components together, and 12 % that look like everybody."""
    draw = numpy.random.default_rng(seed)
    frauds = round(FRAUDS * rows / FRAUD_ROWS)
    target = numpy.zeros(rows, int)
    target[draw.choice(rows, frauds, replace=False)] = 1
    values = draw.standard_t(5, size=(rows, 28)) * numpy.linspace(1.9, 0.35, 28)
    places = numpy.flatnonzero(target)
    kind = draw.choice(4, frauds, p=[0.45, 0.25, 0.18, 0.12])
    strong, middle, both = (places[kind == number] for number in range(3))
    values[numpy.ix_(strong, [13, 16, 11, 9, 3])] += numpy.array([-4.5, -4, -3.5, -3, 3]) + draw.normal(0, 1, (len(strong), 5))
    values[numpy.ix_(middle, [13, 2, 6, 10])] += numpy.array([-2.5, -3.5, -2.5, 2.5]) + draw.normal(0, 0.8, (len(middle), 4))
    sign = draw.choice([-1, 1], len(both))
    values[both, 20], values[both, 21] = sign * draw.normal(3.5, 0.3, len(both)), sign * draw.normal(3.2, 0.3, len(both))
    amount = numpy.round(numpy.exp(draw.normal(3.1, 1.6, rows)), 2)
    amount[places] *= draw.choice([0.3, 1, 3], frauds)
    time = numpy.sort(draw.uniform(0, 172_792, rows)).round()
    return frame(numpy.column_stack([time, values, amount]), target)


def noisy(seed, rows=80_000, columns=20):
    """Eight columns matter, two by twos and bent; a tenth of the labels are wrong."""
    draw = numpy.random.default_rng(seed)
    values = draw.normal(size=(rows, columns))
    first, second, third, fourth, fifth, sixth, seventh, eighth = values[:, :8].T
    score = first * second + numpy.sin(2 * third) + numpy.abs(fourth) - 0.8 + 0.7 * fifth - 0.5 * sixth * (seventh > 0) + 0.3 * eighth
    target = (score + draw.normal(0, 0.5, rows) > 0).astype(int)
    wrong = draw.random(rows) < 0.1
    return frame(values, numpy.where(wrong, 1 - target, target))


def rings(seed, rows=4_000):
    """Classes that lie around each other, in two of six columns."""
    draw = numpy.random.default_rng(seed)
    values = draw.normal(size=(rows, 6))
    far = numpy.hypot(values[:, 0], values[:, 1]) + draw.normal(0, 0.15, rows)
    return frame(values, ((far > 0.8) & (far < 1.6)).astype(int))


def bent(seed, rows=4_000):
    """Friedman's first function: a number with products, squares and a sine."""
    return frame(*datasets.make_friedman1(rows, noise=1.0, random_state=seed))


CLASSES = {
    "breast cancer": small(datasets.load_breast_cancer),
    "wine": small(datasets.load_wine),
    "digits": small(datasets.load_digits),
    "rings": rings,
    "noisy": lambda seed: noisy(seed, 12_000),
    "fraud": fraud,
}
NUMBERS = {"diabetes": small(datasets.load_diabetes), "bent": bent}


def split(name, seed):
    """Rows to learn from and rows to judge by."""
    rows = (CLASSES.get(name) or NUMBERS[name])(seed)
    return parted(rows, seed, stratified=name in CLASSES)


def parted(rows, seed, stratified=True):
    return train_test_split(rows, test_size=0.25, random_state=seed, stratify=rows["y"] if stratified else None)
