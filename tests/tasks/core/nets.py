"""The smallest net that tests of other things need."""

from tasks.core.encoder import Architecture, Classifier, Encoder

ARCHITECTURE = Architecture(width=4, depth=1, num_stages=2, activation="relu")


def small_classifier(num_classes: int = 3) -> Classifier:
    """Of grey images, with fresh weights drawn from torch's generator."""
    encoder = Encoder(ARCHITECTURE, [0.5], [0.25])
    return Classifier(encoder, ARCHITECTURE.embedding_width, num_classes, 0.0)
