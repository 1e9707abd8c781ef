"""The training page says what pretraining brought, and that an encoder has collapsed."""

from typing import Any

import pandas as pd
import pytest

from pages.blocks import Block, Facts, Lines, Notice
from pages.render import render_page
from pages.training import Training, training_sections
from pages.verdict import verdict_notice
from tests.pages.evaluations import an_evaluation
from tests.pages.exports import EXPORT

ADOPTION = {
    "score": 0.8,
    "fresh_score": 0.7,
    "gain": 0.1,
    "low": 0.05,
    "high": 0.151,
    "adopted": True,
}


def training(collapsed: bool = False, begun: str = "pretrained", **adoption: Any) -> Training:
    epochs = pd.DataFrame({"epoch": [0.0, 1.0, 2.0], "loss": [3.0, 2.0, 1.0]})
    return Training(
        pretrain={
            "method": "simclr",
            "collapsed": collapsed,
            "knn_accuracy": 0.7,
            "feature_spread": 0.4,
            "projection_spread": 0.9,
            "num_parameters": 1000,
            "num_flops": 2000,
            "num_images": 90,
            "effective_rank": 20.0,
            "adoption": ADOPTION | adoption,
        },
        pretrain_epochs=epochs.assign(
            learning_rate=0.2,
            knn_accuracy=[0.1, 0.5, 0.6],
            feature_spread=[0.2, 0.3, 0.4],
            projection_spread=[0.7, 0.8, 0.9],
            effective_rank=[8.0, 9.0, 20.0],
        ),
        finetune={"best_epoch": 1, "initialisation": begun},
        finetune_epochs=epochs.assign(
            learning_rate=0.1,
            train_loss=1.0,
            train_accuracy=0.25,
            val_loss=2.0,
            val_calibrated_loss=1.5,
            val_balanced_accuracy=0.5,
            val_macro_f1=0.5,
        ),
        evaluate=an_evaluation(),
        export=EXPORT,
        promote={"verdict": "first", "reasons": [], "rules": [], "small_slices": {}},
        faults={},
    )


def pretraining(one: Training) -> list[Block]:
    (section,) = (s for s in training_sections(one) if s.title == "What pretraining brought")
    return list(section.blocks)


def notices(one: Training) -> list[Notice]:
    return [block for block in pretraining(one) if isinstance(block, Notice)]


def test_the_page_says_by_how_much_the_encoder_is_better():
    (notice,) = notices(training())
    assert notice.tone == "good"
    assert "is adopted" in notice.text
    assert "gains +10.0 points" in notice.text
    assert "interval +5.0 to +15.1" in notice.text
    assert "began with the encoder" in notice.text
    (facts,) = (block for block in pretraining(training()) if isinstance(block, Facts))
    assert facts.facts["probe on the encoder"] == 0.8


@pytest.mark.parametrize(("begun", "said"), [("scratch", "scratch"), ("pretrained", "encoder")])
def test_an_encoder_that_is_not_adopted_is_a_warning(begun, said):
    (notice,) = notices(training(begun=begun, adopted=False, low=-0.02))
    assert notice.tone == "warning"
    assert "is not adopted" in notice.text and "interval -2.0 to" in notice.text
    assert notice.text.endswith(f"{said}.")


def test_a_collapse_is_said_first():
    first, second = notices(training(collapsed=True, adopted=False))
    assert first.tone == "bad" and "collapsed" in first.text and "simclr" in first.text
    assert "is not adopted" in second.text


def test_the_page_draws_what_the_encoder_is_worth_epoch_by_epoch():
    (section,) = (s for s in training_sections(training()) if s.title == "How it learnt")
    charts = {block.caption: block for block in section.blocks if isinstance(block, Lines)}
    worth = charts["Pretraining: what the embeddings are worth."]
    assert worth.series == {
        "kNN accuracy on val": [0.5, 0.6],
        "feature spread": [0.3, 0.4],
        "spread of projections": [0.8, 0.9],
    }
    (rank,) = (chart for caption, chart in charts.items() if "how many directions" in caption)
    assert rank.series == {"effective rank": [9.0, 20.0]}
    page = render_page("t", "lead", [section], verdict_notice(training().promote))
    assert "what the embeddings are worth" in page and "kNN accuracy on val" in page


def test_the_page_is_whole_and_the_same_twice():
    one = training()
    curves = [block for s in training_sections(one) for block in s.blocks]
    captions = [block.caption for block in curves if isinstance(block, Lines)]
    assert "Pretraining: loss of simclr." in captions
    series = [block.series for block in curves if isinstance(block, Lines)]
    # Epoch 0 learns nothing.
    assert {"rate": [0.2, 0.2]} in series and {"rate": [0.1, 0.1]} in series
    assert {"accuracy on train": [0.25, 0.25]}.items() <= series[-2].items()
    pages = [
        render_page("t", "lead", training_sections(one), verdict_notice(one.promote))
        for _ in range(2)
    ]
    assert pages[0] == pages[1]
