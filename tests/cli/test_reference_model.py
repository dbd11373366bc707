import pytest
import torch

from sglite.cli.reference_model import ReferenceModel, ReferenceScores
from sglite.errors import ModelLoadError


def test_scores_of_a_position_come_from_the_logits_before_it():
    scores = ReferenceScores(torch.tensor([[0.0, 3.0, 1.0], [-8.0, 0.0, 0.5]]))
    assert scores.best(1) == (1, 2.0)
    assert scores.best(2) == (2, 0.5)
    assert scores.max_logit == 8.0
    expected = torch.log_softmax(scores.logits_TV, dim=-1)[0, 2]
    assert scores.logprob(1, 2) == pytest.approx(float(expected))


def test_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match="transformers does not load"):
        ReferenceModel.load(str(tmp_path), dtype="float32")


def test_checkpoint_is_loaded_in_the_type_asked_for(tmp_path):
    from sglite.make_model import make_model

    sizes = {"hidden_size": 64, "intermediate_size": 64, "vocab_size": 512}
    path = str(make_model(tmp_path, num_hidden_layers=1, dtype="bfloat16", **sizes))
    assert ReferenceModel.load(path, dtype="auto").dtype == "bfloat16"
    reference = ReferenceModel.load(path, dtype="float32")
    scores = reference.score([1, 2, 3])
    assert reference.dtype == "float32"
    assert scores.logits_TV.shape == (3, 512) and scores.logits_TV.dtype == torch.float32
