"""What each diagnosis most likely comes from, and what to do about it. The names are those of the result tables.

Their order is that in which diagnoses are told: causes before what they bring about.
"""

from __future__ import annotations

REMEDIES: dict[str, tuple[str, str]] = {
    "not-finite": (
        "the learning rate is too high, the temperature too low for the number format, or an input is NaN",
        "lower the learning rate; compute scores and losses in fp32; check the weights file and the images for NaN",
    ),
    "frozen-part-moved": (
        "frozen tensors are in the optimiser, or a frozen BatchNorm is in train mode and moves its statistics",
        "leave frozen tensors out of the optimiser, and put frozen modules back into eval() after every .train()",
    ),
    "no-gradient": (
        "the graph is cut (detach, no_grad, a constant loss), or every unit of the part is saturated",
        "call backward on the loss of this part's own output; lower the learning rate if units died",
    ),
    "trained-part-did-not-move": (
        "the part's parameters were not given to the optimiser, or its learning rate is 0",
        "give the optimiser every trained parameter; set lr in its parameter group",
    ),
    "broken-contrastive-formula": (
        "-log(exp(s/tau) + 1e-8) on positives is -s/tau: no repulsion, and a constant encoder is its minimum",
        "use InfoNCE: cross_entropy of the B × B scores over tau, with the pair's own cell as the target",
    ),
    "negative-contrastive-loss": (
        "the loss has no normaliser over negatives, or a sign is wrong",
        "use InfoNCE by cross_entropy, which is at least 0 and ln(batch size) at chance",
    ),
    "inverted-separation": (
        "pair_label 1 stands for different things, or scores are distances",
        "swap the labels, so that 1 is the same thing",
    ),
    "accuracy-contradicts-scores": (
        "the accuracy does not count pairs told right: argmax over the batch compared with class labels, for example",
        "compare pair_label with cosine >= threshold, the threshold solved on held-out pairs",
    ),
    "update-too-large": (
        "the learning rate is too high for these weights",
        "lower the learning rate, or backbone_lr_ratio where it is the backbone",
    ),
    "update-too-small": (
        "the learning rate is far too low",
        "raise the learning rate by a factor of 10 to 1000",
    ),
    "negatives-pulled-together": (
        "the diagonal is taken for positives, pairs of label 0 included",
        "mask the contrastive loss by pair_label, and add the negative-pair loss",
    ),
    "temperature-too-low": (
        "at so low a temperature only the hardest negative of each anchor has a gradient",
        "raise the temperature; 0.05 to 0.5 are in use",
    ),
    "temperature-too-high": (
        "at so high a temperature the loss hardly depends on the embeddings",
        "lower the temperature; 0.05 to 0.5 are in use",
    ),
    "total-collapse": (
        "the loss has no repulsion, the learning rate is too high, or the inputs are all alike",
        "use InfoNCE with negatives from the batch; lower the learning rate; look at the images as the model gets them",
    ),
    "low-feature-std": (
        "the embeddings are collapsing onto one direction",
        "lower the learning rate and the weight of the consistency loss; train longer if the spread is still rising",
    ),
    "low-uniformity": (
        "nothing, or too little, pushes different things apart",
        "lower the temperature or the weight of the consistency loss; use a larger batch",
    ),
    "dimensional-collapse": (
        "the head maps everything to a few directions: too high a learning rate, or features of low rank",
        "lower the learning rate, train more blocks of the backbone, or use stronger weights",
    ),
    "consistency-without-spread": (
        "two views of a constant agree perfectly: 0 means no spread, not consistency",
        "repair the contrastive loss first, and report a measure of spread beside the consistency loss",
    ),
    "diverging": (
        "the learning rate is too high",
        "lower the learning rate or lengthen the warm-up",
    ),
    "loss-above-chance": (
        "embeddings are confidently wrong: the learning rate is too high, or the temperature low for this data",
        "lower the learning rate, or raise the temperature",
    ),
    "stuck-at-chance": (
        "all scores in a batch are equal, or nothing is learnt: collapse, too low a learning rate, labels at random",
        "raise the learning rate if updates are tiny, else lower it; check the labels",
    ),
    "no-separation": (
        "the labels do not fit the images, the model learns nothing, or what it learns does not carry over",
        "check a few pairs by eye; raise the learning rate if the loss is at chance; train more blocks if it is not",
    ),
    "labels-at-random": (
        "pair_label has nothing to do with the images: shuffled, or joined to other rows; training pairs are learnt by heart",
        "check a few pairs by eye, and how labels and images were joined; if they fit, add identities or train fewer blocks",
    ),
    "overfit": (
        "the model learns the training pairs by heart",
        "train fewer epochs or fewer blocks, raise the weight decay, or add identities",
    ),
    "precision-artefact": (
        "scores are computed in half precision, where near cosines become equal: in bf16 all above 0.998 are 1",
        "compute scores and losses in fp32, outside autocast",
    ),
    "threshold-out-of-place": (
        "the threshold lies outside the range of the scores",
        "leave the threshold out, so that it is solved on held-out scores, or search it where scores are",
    ),
}
"""Name of the diagnosis: (likely cause, remedy)."""
