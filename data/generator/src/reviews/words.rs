//! The words that fill the templates' places.

/// Things that are reviewed.
pub(super) const PRODUCTS: &[&str] = &[
    "headphones",
    "kettle",
    "backpack",
    "jacket",
    "keyboard",
    "lamp",
    "vacuum cleaner",
    "coffee machine",
    "phone case",
    "running shoes",
    "desk",
    "office chair",
    "camera",
    "tent",
    "blender",
    "watch",
    "speaker",
    "suitcase",
    "mattress",
    "bike helmet",
    "water bottle",
    "router",
    "printer",
    "monitor",
    "toaster",
    "umbrella",
    "sofa",
    "tablet",
    "drill",
    "hair dryer",
];

/// What can be good or bad about them.
pub(super) const ASPECTS: &[&str] = &[
    "quality",
    "design",
    "battery",
    "build",
    "finish",
    "fit",
    "price",
    "packaging",
    "delivery",
    "customer service",
    "manual",
    "material",
    "size",
    "colour",
    "performance",
    "setup",
    "handle",
    "cable",
    "display",
    "sound",
    "zip",
    "software",
    "comfort",
    "weight",
    "support team",
    "warranty",
];

/// What one says of a thing that is liked.
pub(super) const GOOD: &[&str] = &[
    "great",
    "excellent",
    "fantastic",
    "wonderful",
    "perfect",
    "superb",
    "amazing",
    "lovely",
    "brilliant",
    "solid",
    "impressive",
    "outstanding",
    "reliable",
    "comfortable",
    "beautiful",
    "first class",
    "flawless",
    "good",
    "nice",
    "sturdy",
    "well made",
    "delightful",
    "terrific",
    "pleasant",
    "top notch",
];

/// What one says of a thing that is not.
pub(super) const BAD: &[&str] = &[
    "terrible",
    "awful",
    "horrible",
    "poor",
    "disappointing",
    "useless",
    "cheap",
    "flimsy",
    "dreadful",
    "broken",
    "unreliable",
    "uncomfortable",
    "ugly",
    "faulty",
    "bad",
    "annoying",
    "rubbish",
    "shoddy",
    "mediocre",
    "frustrating",
    "unacceptable",
    "lousy",
    "badly made",
    "pathetic",
];

/// How much so.
pub(super) const VERY: &[&str] = &[
    "very",
    "really",
    "absolutely",
    "truly",
    "simply",
    "quite",
    "just",
    "so",
    "totally",
    "rather",
];

/// What one does with a thing that is liked.
pub(super) const LIKE: &[&str] = &[
    "love",
    "adore",
    "really like",
    "enjoy",
    "recommend",
    "am happy with",
    "am thrilled with",
    "am delighted with",
    "appreciate",
    "am impressed by",
];

/// And with one that is not.
pub(super) const DISLIKE: &[&str] = &[
    "hate",
    "dislike",
    "regret buying",
    "am sick of",
    "am unhappy with",
    "am annoyed by",
    "am let down by",
    "am disappointed with",
    "cannot stand",
    "am frustrated by",
];

/// How long it has been in use.
pub(super) const TIMES: &[&str] = &[
    "a week",
    "two days",
    "a month",
    "three months",
    "half a year",
    "a year",
    "one evening",
    "a few hours",
    "several weeks",
    "ten days",
];

/// For whom it was bought.
pub(super) const PEOPLE: &[&str] = &[
    "my wife",
    "my husband",
    "my son",
    "my daughter",
    "my mother",
    "my father",
    "a friend",
    "my office",
    "my sister",
    "our kitchen",
    "a colleague",
    "myself",
];

/// Who else uses it.
pub(super) const FAMILY: &[&str] = &[
    "my wife",
    "my husband",
    "my son",
    "my daughter",
    "my mother",
    "my father",
    "my sister",
    "my brother",
    "my neighbour",
    "my boss",
];
