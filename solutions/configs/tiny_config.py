"""A model of your own design, of about ten million parameters: small enough for a laptop, large enough for stories."""

from intro2llm.model.config import ModelConfig


def tiny_config() -> ModelConfig:
    """Choose the sizes of a model with 9 500 000 to 10 500 000 parameters in all (both ends included).

    Any config will do that `validate` accepts and that keeps to these, counted as in `count_parameters`:

    * vocab_size 4096: a vocabulary that fits a small world of stories.
    * At least 4 layers, and max_position_embeddings of at least 1024.
    * attention_head_dim from 32 to 128, and as many key-value heads as query heads: fewer of them come in lesson 15.
    * intermediate_size from 2 to 4 times hidden_size.
    * At least three quarters of the parameters in the blocks and norms (`non_embedding`), not in tables of words.

    Returns:
        A new config at each call, so that whoever changes a field of one changes no other.
    """
    return ModelConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=11,
        num_attention_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
