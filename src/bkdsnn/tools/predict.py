"""What a published student sees in an image: `python -m bkdsnn.tools.predict MODEL image.png`."""

import torch

from bkdsnn.command import run_stage
from bkdsnn.export.published import load

SHOWN = 5  # classes


def predict(model: str, image: str) -> None:
    """Prints the most likely classes of an image, each with its softmax probability in %."""
    network, preprocess = load(model)
    with torch.inference_mode():
        shares = network(preprocess(image)).logits.mean(0)[0].softmax(0)
    for share, number in zip(*(column.tolist() for column in shares.topk(min(SHOWN, len(shares)))), strict=True):
        print(f"{100 * share:6.2f} %  {network.card['classes'][number]}")


if __name__ == "__main__":
    run_stage(predict)
