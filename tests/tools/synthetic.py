"""Small pair data for tests that train: 12 identities a split, each with a positive and a negative pair."""

from __future__ import annotations

import numpy as np

from trainable.data.pairs import PairData


def pair_data(
    size_px: int = 16, identities: int = 36, seed: int = 0, positives_only: bool = False, noise: float = 20.0
) -> PairData:
    """Every identity is a coloured 4 × 4 mosaic, seen twice with noise: learnable within an epoch.

    A third of the identities in each split. positives_only: the training split has no negative pair.
    """
    random = np.random.default_rng(seed)
    mosaic = random.integers(0, 256, (identities, 4, 4, 3)).repeat(size_px // 4, axis=1).repeat(size_px // 4, axis=2)
    views = [np.clip(mosaic + random.normal(0, noise, mosaic.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    rows = []
    in_split = identities // 3
    for identity in range(identities):
        split, place = divmod(identity, in_split)
        other = split * in_split + (place + 1) % in_split
        rows.append((identity, identity, 1, split))
        if split > 0 or not positives_only:
            rows.append((identity, other, 0, split))
    front, angle, label, splits = np.array(rows, dtype=np.int64).T
    return PairData(
        pixels=np.stack(views, axis=1).reshape(-1, size_px, size_px, 3),
        front=2 * front,
        angle=2 * angle + 1,
        pair_label=label.astype(np.int8),
        front_identity=front,
        angle_identity=angle,
        split=splits.astype(np.int8),
        fingerprint=f"mosaics-{size_px}-{identities}-{seed}",
    )
