"""A classifier's head fitted to embeddings: before its encoder learns, and after."""

import numpy as np
import pandas as pd
import torch

from tasks.artifacts.embeddings import Synthetic
from tasks.core.encoder import Classifier
from tasks.core.inference import Place, run_net
from tasks.core.probe import Probe, fit_probe
from tasks.core.refitting import Embedded, Refit, balance
from tasks.labelled import Labelled


def probe_head(
    classifier: Classifier, labelled: Labelled, synthetic: Synthetic, how: Probe, place: Place
) -> None:
    """Fits the head in place, to the embeddings of the rows and to those that were made up."""
    rows, made_up = _embedded(classifier, labelled, place), len(synthetic.labels_S)
    # None made up are none of any width.
    made_up_SD = synthetic.embeddings_SD if made_up else rows.embeddings_ND[:0]
    codes_S = pd.Categorical(synthetic.labels_S, categories=labelled.classes).codes.astype(np.int64)
    everything = Embedded(
        np.concatenate([rows.embeddings_ND, made_up_SD]),
        np.concatenate([rows.codes_N, codes_S]),
        np.concatenate([rows.weights_N, np.ones(made_up, np.float32)]),
    )
    _fit(classifier, everything, how)


def refit_head(
    classifier: Classifier, labelled: Labelled, how: Refit, place: Place, seed: int
) -> None:
    """Fits the head in place, to the embeddings that the encoder now gives of the rows."""
    embedded = _embedded(classifier, labelled, place)
    _fit(classifier, balance(embedded, labelled.classes, how, seed), how.probe)


def _embedded(classifier: Classifier, labelled: Labelled, place: Place) -> Embedded:
    rows = np.unique(labelled.rows)
    embeddings = run_net(classifier.encoder, labelled.pixels, rows, *place)
    return Embedded(embeddings, labelled.codes[rows], labelled.weights[rows])


def _fit(classifier: Classifier, embedded: Embedded, how: Probe) -> None:
    counts = np.bincount(embedded.codes_N, minlength=classifier.head.out_features)
    head = fit_probe(
        how,
        torch.from_numpy(embedded.embeddings_ND),
        torch.from_numpy(embedded.codes_N),
        torch.from_numpy(embedded.weights_N),
        torch.from_numpy(counts / counts.sum()).float(),
    )
    classifier.head.weight.data.copy_(head.weight_KD)
    classifier.head.bias.data.copy_(head.bias_K)
